/// How the program ends: the one table of its exit statuses, for help and manual.
enum ExitStatus: Int32, CaseIterable {
    case done = 0
    case refused = 1
    case unusable = 2
    case notRunnable = 126
    case notFound = 127

    var text: String {
        switch self {
        case .done: "done"
        case .refused: "refused by the daemon, or what was compared differs"
        case .unusable: "wrong usage, no daemon, or output that cannot be written"
        case .notRunnable: "exec: the program cannot be run"
        case .notFound: "exec: there is no such program; else its own status"
        }
    }

    /// One line each.
    static var table: String { allCases.map { "  \($0.rawValue)  \($0.text)" }.joined(separator: "\n") }
}
