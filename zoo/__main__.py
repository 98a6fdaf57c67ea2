"""python -m zoo: the command line, which is in `zoo.cli`."""

from zoo.cli.main import main

if __name__ == "__main__":
    main()
