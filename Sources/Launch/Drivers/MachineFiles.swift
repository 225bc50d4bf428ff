import Glibc
import LinuxIO

/// What of `/sys` and `/proc` says which driver has which device, and lets that be changed. A test puts a machine of
/// its own there.
public protocol MachineFiles {
    /// The contents without blanks at the end; nil where it cannot be read.
    func text(_ path: String) -> String?
    /// The last component of where a link points; nil where there is none.
    func link(_ path: String) -> String?
    /// The names in a directory, sorted; none where there is no such directory.
    func names(in path: String) -> [String]
    /// Writes all of a text in one go.
    ///
    /// - Throws: the errno.
    func write(_ text: String, to path: String) throws(FileProblem)
    /// Removes a file.
    func remove(_ path: String)
    /// Makes a directory for files of our own.
    func makeDirectory(_ path: String) throws(FileProblem)
}

/// A file that could not be written.
public struct FileProblem: Error, Sendable, Equatable {
    /// Which.
    public let path: String
    /// Why.
    public let errno: Int32

    /// With these properties.
    public init(path: String, errno: Int32) { (self.path, self.errno) = (path, errno) }
}

/// Those of this machine.
public struct SystemFiles: MachineFiles {
    /// They are where they are.
    public init() {}

    public func text(_ path: String) -> String? {
        guard var text = try? SmallFile.text(path, atMost: 16 << 20) else { return nil }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    public func link(_ path: String) -> String? {
        SmallFile.target(ofLink: path)?.split(separator: "/").last.map(String.init)
    }

    public func names(in path: String) -> [String] { ((try? SmallFile.names(in: path)) ?? []).sorted() }

    public func write(_ text: String, to path: String) throws(FileProblem) {
        let flags = O_WRONLY | O_CLOEXEC | (path.hasPrefix("/sys/") ? 0 : O_CREAT | O_TRUNC)
        let file = open(path, flags, 0o644)
        guard file >= 0 else { throw FileProblem(path: path, errno: Glibc.errno) }
        defer { close(file) }
        let bytes = Array(text.utf8)
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
            throw FileProblem(path: path, errno: Glibc.errno)
        }
    }

    public func remove(_ path: String) { unlink(path) }

    public func makeDirectory(_ path: String) throws(FileProblem) {
        guard mkdir(path, 0o755) == 0 || Glibc.errno == EEXIST else {
            throw FileProblem(path: path, errno: Glibc.errno)
        }
    }
}
