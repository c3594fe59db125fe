"""The steps of the ladder, one file a step; each returns a `report.model.Rung`."""
