"""The one-way story: a job becomes a plan, a plan becomes an artefact."""
