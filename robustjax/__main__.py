"""`python -m robustjax` is the command `robustjax`."""

from robustjax.tools.command import main

if __name__ == "__main__":
    main()
