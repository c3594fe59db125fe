"""Size against KL of many ways of compressing one model: the figures, the picture and the table."""
