"""What the README shows and promises."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_example_runs_and_recognises_the_speakers(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert float(capsys.readouterr().out.split()[-1]) >= 0.975


def test_ci_runs_the_commands_of_the_readme():
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert len(commands) == 2
    for part in commands[1].split(" && "):
        assert part.removeprefix("python -m pip install ") in script
    assert (ROOT / commands[0].split()[-1]).is_file()


def test_pictures_of_the_readme_exist():
    pictures = re.findall(r"\]\((docs/\S+\.png)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file()
