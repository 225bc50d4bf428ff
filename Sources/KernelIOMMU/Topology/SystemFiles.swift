import Glibc
import LinuxIO

/// sysfs and device nodes, below a directory that a test can replace.
package struct SystemFiles: Sendable {
    /// Bytes of one attribute; the kernel's have at most a page.
    private static let attributeBytes = 4096

    private let root: String

    /// - Parameter root: "" for the machine's own.
    package init(root: String = "") { self.root = root }

    /// The path as the system knows it.
    func path(_ path: String) -> String { root + path }

    /// The names in a directory, in order; none if it cannot be read.
    func list(_ path: String) -> [String] { ((try? SmallFile.names(in: root + path)) ?? []).sorted() }

    /// An attribute without the line end; nil if it cannot be read.
    func text(_ path: String) -> String? {
        guard var text = try? SmallFile.text(root + path, atMost: Self.attributeBytes) else { return nil }
        while text.last == "\n" { text.removeLast() }
        return text
    }

    /// The last name of what a link points at; nil if there is none.
    func target(_ path: String) -> String? {
        SmallFile.target(ofLink: root + path)?.split(separator: "/").last.map(String.init)
    }

    /// Whether this process may read and write it.
    func isUsable(_ path: String) -> Bool { access(root + path, R_OK | W_OK) == 0 }

    /// Whether it is there.
    func exists(_ path: String) -> Bool { access(root + path, F_OK) == 0 }
}
