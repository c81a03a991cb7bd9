"""``python -m diabolo`` is the command line."""

from diabolo.cli import main

if __name__ == "__main__":
    main()
