"""Learning-rate schedules: how they end, their mean rates, trunks, the report's printed averages."""
