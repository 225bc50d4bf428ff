# Completion of iommuctl for bash: what could come next is asked of the program, and by it of the daemon.

_iommuctl() {
    local line=${COMP_LINE:0:COMP_POINT} word candidate head
    word=${line##*[[:space:]]}
    # Bash breaks words at these, and replaces only what stands behind the last of them.
    head=${word%"${word##*[:=]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$head"}")
    done < <("$1" complete -- "$line" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}

complete -o default -F _iommuctl iommuctl
