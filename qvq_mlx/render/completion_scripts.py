"""The scripts that `qvq completion` prints.

Law: a script holds no command, option or name of its own; it asks `qvq completion SHELL -- WORDS`
and hands the answer to its shell. That of bash runs in macOS's bash 3.2 too, which has neither
`mapfile` nor `compopt`.
"""

from __future__ import annotations

_BASH = r"""# bash completion for qvq; from: qvq completion bash
_qvq() {
    local word kind line IFS=$'\n'
    local -a words=() lines=()
    local index
    for ((index = 1; index < COMP_CWORD; index++)); do
        words+=("${COMP_WORDS[index]}")
    done
    word="${COMP_WORDS[COMP_CWORD]}"
    case "$word" in
        \"*|\'*) word="${word:1}" ;;
        *) word="${word//\\/}" ;;
    esac
    COMPREPLY=()
    while IFS= read -r line; do
        lines+=("$line")
    done < <(command qvq completion bash -- "${words[@]}" "$word" 2>/dev/null)
    kind="${lines[0]}"
    for line in "${lines[@]:1}"; do
        COMPREPLY+=("${line%%$'\t'*}")
    done
    if [[ $kind == files ]]; then
        compopt -o filenames 2>/dev/null
        if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
            compopt -o nospace 2>/dev/null
        fi
    fi
}
complete -F _qvq qvq
"""

_ZSH = r"""#compdef qvq
# zsh completion for qvq; from: qvq completion zsh
_qvq() {
    local kind line value
    local -a lines shown extensions
    lines=("${(@f)$(
        command qvq completion zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null
    )}")
    kind=${lines[1]}
    if [[ $PREFIX == --*=* ]]; then
        compset -P '*='
    fi
    case $kind in
        words)
            for line in "${(@)lines[2,-1]}"; do
                value=${line%%$'\t'*}
                shown+=("${value//:/\\:}:${line#*$'\t'}")
            done
            _describe -t qvq 'qvq' shown
            ;;
        folders) _files -/ ;;
        files*)
            extensions=(${(s: :)kind})
            shift extensions
            if (( $#extensions )); then
                _files -g "*(#i)(${(j:|:)extensions})(-.)"
            else
                _files
            fi
            ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _qvq "$@"
else
    compdef _qvq qvq
fi
"""

_FISH = r"""# fish completion for qvq; from: qvq completion fish
function __qvq_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (command qvq completion fish -- $tokens[2..-1] "$current" 2>/dev/null)
    if test "$lines[1]" = files; and string match -q '~*' -- "$current"
        __fish_complete_path "$current" # only fish itself may leave ~ as it is
    else if test (count $lines) -gt 1
        printf '%s\n' $lines[2..-1]
    end
end
complete -c qvq -f -k -a '(__qvq_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
