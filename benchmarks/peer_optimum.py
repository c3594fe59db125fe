"""optimum-cli with its version cap on `glm` lifted, so that it can be measured at all; everything else is its own.

python benchmarks/peer_optimum.py export openvino --model DIR --task text-generation-with-past --weight-format int4 OUT
"""

import sys


def main() -> None:
    """Lift the cap and hand over."""
    from optimum.exporters.openvino import model_configs

    model_configs.GLMOpenVINOConfig.MAX_TRANSFORMERS_VERSION = "99"
    from optimum.commands.optimum_cli import main as optimum_main

    sys.argv[0] = "optimum-cli"
    optimum_main()


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its openvino.py is not the library
    main()
