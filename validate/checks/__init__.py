"""The steps of the parity suite, one file a step; each returns a `report.model.Check`."""
