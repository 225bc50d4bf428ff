import Glibc
import LinuxIO

/// Lines that were typed before, kept in a file of the user.
struct History {
    private(set) var lines: [String]
    private let path: String?

    private static let most = 1000

    /// What is kept; nothing, where it cannot be.
    static func ofUser() -> History {
        let state = Environment.value("XDG_STATE_HOME") ?? Environment.value("HOME").map { $0 + "/.local/state" }
        guard let state else { return History(lines: [], path: nil) }
        let path = state + "/iommuctl/history"
        let text = (try? FileContents.read(path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return History(lines: text.split(separator: "\n").suffix(most).map(String.init), path: path)
    }

    private init(lines: [String], path: String?) {
        self.lines = lines
        self.path = path
    }

    /// Keeps a line that is not the one before again.
    mutating func add(_ line: String) {
        guard line.contains(where: { !$0.isWhitespace }), line != lines.last else { return }
        lines.append(line)
        lines = lines.suffix(Self.most)
        guard let path else { return }
        Self.makeDirectories(of: path)
        // What cannot be kept is no reason not to go on.
        guard let file = try? Descriptor(opened: open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600), path)
        else { return }
        let bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(file.number, $0.baseAddress, $0.count) }
    }

    private static func makeDirectories(of path: String) {
        var directory = ""
        for part in path.split(separator: "/").dropLast() {
            directory += "/" + part
            mkdir(directory, 0o700)
        }
    }
}
