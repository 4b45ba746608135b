# nermill.bash - completion for nermill and the programs of its roles.
#
# Commands and options are read from --help, once a shell, so that they are always those of the installed version.
# Install as /usr/share/bash-completion/completions/nermill, or: . cli/completion/nermill.bash

declare -gA _nermill_known=()

# _nermill_words KIND COMMAND... - into REPLY: the commands or the options that "COMMAND... --help" lists.
_nermill_words() {
    local kind=$1 key="$*"
    shift
    if [ -z "${_nermill_known[$key]+set}" ]; then
        local help
        help=$("$@" --help 2>/dev/null </dev/null)
        case $kind in
        commands) _nermill_known[$key]=$(sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' <<<"$help") ;;
        options) _nermill_known[$key]=$(grep -oE -- '(^|[[:space:],[|])--[a-z][a-z-]*' <<<"$help" | grep -oE -- '--[a-z-]+' | sort -u) ;;
        esac
    fi
    REPLY=${_nermill_known[$key]}
}

_nermill() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} REPLY
    local program=("${COMP_WORDS[0]}")
    COMPREPLY=()
    if [ "${program[0]##*/}" = nermill ]; then
        if [ "$COMP_CWORD" = 1 ]; then
            _nermill_words commands "${program[@]}"
            mapfile -t COMPREPLY < <(compgen -W "$REPLY --help --version" -- "$current")
            return
        fi
        program+=("${COMP_WORDS[1]}")
    fi
    case $previous in
    --format | -f | --to | -t)
        local forms="conll conll2003 jsonl spacy parquet labelstudio doccano brat"
        case ${COMP_WORDS[1]}:$previous in
        import:--format | import:-f) forms="conll bc4chemd pubtator tdmsci jsonl" ;;
        init:-t) forms="biomed minimal" ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$forms" -- "$current")
        ;;
    --by) mapfile -t COMPREPLY < <(compgen -W "sample document entity" -- "$current") ;;
    --template) mapfile -t COMPREPLY < <(compgen -W "biomed minimal" -- "$current") ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W "debug info warn error" -- "$current") ;;
    *)
        case $current in
        -*)
            _nermill_words options "${program[@]}"
            mapfile -t COMPREPLY < <(compgen -W "$REPLY --help" -- "$current")
            ;;
        esac
        ;;
    esac
}

# With no word of ours to offer, bash offers files.
complete -o default -F _nermill nermill nermill-broker nermill-generator nermill-aligner nermill-trainer
