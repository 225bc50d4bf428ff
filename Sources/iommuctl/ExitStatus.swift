/// How the program ends: the one table of its exit statuses, for help and manual.
enum ExitStatus: Int32, CaseIterable {
    case done = 0
    case refused = 1
    case unusable = 2

    var text: String {
        switch self {
        case .done: "done"
        case .refused: "refused by the daemon, or what was compared differs"
        case .unusable: "wrong usage, no daemon, or output that cannot be written"
        }
    }

    /// One line each.
    static var table: String { allCases.map { "  \($0.rawValue)  \($0.text)" }.joined(separator: "\n") }
}
