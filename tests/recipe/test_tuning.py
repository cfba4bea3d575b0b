"""Settings of the report's alignment are the defaults."""

from pellucid.recipe.tuning import PreferenceConfig, SelfKnowledgeConfig


def test_the_reports_figures_are_the_defaults() -> None:
    assert PreferenceConfig().beta == 0.01
    assert SelfKnowledgeConfig(facts="facts.yaml").first_messages == 10_000
