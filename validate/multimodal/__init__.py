"""The torch reference of what a vision-language model sees, whatever its kind: transformers' own processor, tower and places."""
