"""`places completion SHELL`: a script that completes commands, options, recipes and runs.

The script holds all that there is to complete, so no Python starts when the Tab key is pressed.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from places.cli.main import COMMANDS, STAGES
from places.cli.option_table import Option, load_options
from places.config.recipes import recipe_folders
from places.console import put

_BASH = """\
# source <(places completion bash)    or put that into ~/.bashrc
_places() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command words=
  if [[ $current == "=" ]]; then current=
  elif [[ $before == "=" ]]; then before=${{COMP_WORDS[COMP_CWORD-2]}}; fi
  command=${{COMP_WORDS[1]}}
  case "$command ${{COMP_WORDS[2]}}" in
    {pairs}) (( COMP_CWORD > 2 )) && command+=" ${{COMP_WORDS[2]}}" ;;
  esac
  if (( COMP_CWORD == 1 )); then words="{commands}"
  elif [[ $current == -* ]]; then
    case $command in
{options}
    esac
  else
    case "$command $before" in
{values}
    *" --config"|*" -c") words="{recipes} $(compgen -G 'configs/*.yaml')" ;;
    *" --ckpt_path") words="last $(compgen -G 'runs/*/*')" ;;
    esac
    case "$command $COMP_CWORD" in
{parts}
    esac
  fi
  local IFS=$' \\n'
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] || compopt -o default
}}
complete -F _places places
"""
_ZSH = """\
# source <(places completion zsh)    or put that into ~/.zshrc, after compinit
_places() {{
  local command=$words[2] before=$words[CURRENT-1]
  local -a found
  case "$command $words[3]" in {pairs}) (( CURRENT > 3 )) && command+=" $words[3]";; esac
  if (( CURRENT == 2 )); then
    found=(
{commands}
    )
    _describe command found; return
  fi
  if [[ $PREFIX == --*=* ]]; then before=${{PREFIX%%=*}}; compset -P '*='
  elif [[ $PREFIX == -* ]]; then
    case $command in
{options}
    esac
    compadd -- $found; return
  fi
  case "$command $before" in
{values}
  *" --config"|*" -c") found=({recipes} configs/*.yaml(N)) ;;
  *" --ckpt_path") found=(last runs/*/*(/N)) ;;
  esac
  case "$command $CURRENT" in
{parts}
  esac
  (( $#found )) && compadd -- $found
  _files
}}
compdef _places places
"""
_FISH_START = """\
# places completion fish > ~/.config/fish/completions/places.fish
complete -c places -n __fish_use_subcommand -f
complete -c places -l config -s c -x -a '{recipes} (__fish_complete_suffix .yaml)'
complete -c places -l ckpt_path -x -a 'last (printf "%s\\n" runs/*/*) (__fish_complete_path)'
"""


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print a script that completes what is typed after `places`: commands, options, recipes, runs.

    For bash:  source <(places completion bash)

    For zsh:   source <(places completion zsh)

    For fish:  places completion fish > ~/.config/fish/completions/places.fish

    Args:
        shell: bash, zsh or fish.
    """
    put({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]().removesuffix("\n"))
    return 0


def _bash() -> str:
    options = (f'    {_case(c)}) words="{" ".join(_flags(c))}" ;;' for c in COMMANDS)
    values = (
        f'    {shlex.quote(f"{command} --{option.name}")}) words="{" ".join(option.takes)}" ;;'
        for command, option in _with_choices()
    )
    parts = (f'    "{group} 2") words="{" ".join(names)}" ;;' for group, names in _parts().items())
    return _BASH.format(
        pairs=_pairs(),
        commands=" ".join(_first_words()),
        options="\n".join(options),
        values="\n".join(values),
        parts="\n".join(parts),
        recipes=" ".join(_recipes()),
    )


def _zsh() -> str:
    texts = {name: f":{text}" for name, (_, text) in COMMANDS.items()}
    commands = (f"      {shlex.quote(name + texts.get(name, ''))}" for name in _first_words())
    options = (f"    {_case(c)}) found=({' '.join(_flags(c))}) ;;" for c in COMMANDS)
    values = (
        f"  {shlex.quote(f'{command} --{option.name}')}) found=({' '.join(option.takes)}) ;;"
        for command, option in _with_choices()
    )
    parts = (f'  "{group} 3") found=({" ".join(names)}) ;;' for group, names in _parts().items())
    return _ZSH.format(
        pairs=_pairs(),
        commands="\n".join(commands),
        options="\n".join(options),
        values="\n".join(values),
        parts="\n".join(parts),
        recipes=" ".join(_recipes()),
    )


def _fish() -> str:
    lines = [_FISH_START.format(recipes=" ".join(_recipes()))]
    for name in _first_words():
        text = shlex.quote(COMMANDS[name][1]) if name in COMMANDS else "''"
        lines.append(f"complete -c places -n __fish_use_subcommand -a {name} -d {text}\n")
    for group, names in _parts().items():
        words = " ".join(names)
        seen = f"__fish_seen_subcommand_from {group}; and not __fish_seen_subcommand_from {words}"
        lines.append(f"complete -c places -n '{seen}' -f -a '{words}'\n")
    for command in COMMANDS:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.split())
        for flag in _flags(command):
            option = load_options(command).get(flag[2:])
            takes = f" -x -a '{' '.join(option.takes)}'" if option and option.takes else ""
            lines.append(f"complete -c places -n '{seen}' -l {flag[2:]}{takes}\n")
    return "".join(lines)


def _case(command: str) -> str:
    return f'"{command}"'


def _flags(command: str) -> list[str]:
    """Return the options of a command as they are typed."""
    options = load_options(command)
    more = [*(["help_all"] if command in STAGES else []), *([] if "help" in options else ["help"])]
    names = [*sorted(_typed(option, command) for option in options.values()), *more]
    return [f"--{name}" for name in names]


def _typed(option: Option, command: str) -> str:
    is_flag = command not in STAGES and option.default == "true"
    return f"no-{option.name}" if is_flag else option.name


def _with_choices() -> Iterator[tuple[str, Option]]:
    for command in COMMANDS:
        yield from ((command, o) for o in load_options(command).values() if o.takes)


def _first_words() -> list[str]:
    return list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def _parts() -> Mapping[str, list[str]]:
    """Return the second words of commands that have two, by the first."""
    parts: dict[str, list[str]] = {}
    for name in COMMANDS:
        group, _, part = name.partition(" ")
        if part:
            parts.setdefault(group, []).append(part)
    return parts | {"completion": ["bash", "zsh", "fish"]}


def _pairs() -> str:
    return "|".join(f'"{name}"' for name in COMMANDS if " " in name)


def _recipes() -> list[str]:
    """Return the names of the recipes that are shipped, as `--config` takes them."""
    folder: Path = recipe_folders()[-1]
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))
    return [shlex.quote(name) for name in found]
