"""A README.md as it lies in a checkpoint, with front matter whose YAML is easily read as something else (`no`)."""

CARD = """---
license: other
license_name: glm-4
license_link: LICENSE
language:
- zh
- no
tags: [glm, edge]
pipeline_tag: text-generation
base_model: THUDM/glm-edge-base
---
# Model
"""
