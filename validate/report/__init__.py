"""What a validation found, and its renderings: JSON, Markdown, JUnit, HTML."""
