"""A ladder of sizes: laws of loss and their forecasts."""
