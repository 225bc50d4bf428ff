# Completion of iommuctl for fish: what could come next is asked of the program, and by it of the daemon.

function __iommuctl_candidates
    set -l words (commandline --tokenize --current-process --cut-at-cursor)
    $words[1] complete -- (commandline --current-process --cut-at-cursor | string collect) 2>/dev/null
end

complete --command iommuctl --no-files --arguments '(__iommuctl_candidates)'
# Files, where they are asked for.
complete --command iommuctl --condition '__fish_seen_subcommand_from script replay' --force-files
