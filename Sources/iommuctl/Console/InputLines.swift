import Glibc
import LinuxIO

/// Lines of a file, each as soon as it is there.
struct InputLines {
    private let descriptor: Int32
    private let name: String
    private let file: SharedDescriptor?
    private var bytes: [UInt8] = []
    private var isAtEnd = false

    /// A line is at most so long.
    private static let longest = 16 << 20

    /// - Parameter path: nil or `-` is standard input.
    init(_ path: String?) throws(Failure) {
        guard let path, path != "-" else {
            (descriptor, name, file) = (STDIN_FILENO, "standard input", nil)
            return
        }
        name = path
        do throws(SystemError) {
            let opened = SharedDescriptor(try Descriptor(opening: path, O_RDONLY))
            (descriptor, file) = (opened.number, opened)
        } catch {
            throw .usage("cannot read \(path): \(String(cString: strerror(error.errno)))")
        }
    }

    /// The next line; nil at the end.
    mutating func next() throws(Failure) -> String? {
        var scanned = 0
        while true {
            if let end = bytes[scanned...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { bytes.removeSubrange(...end) }
                return String(decoding: bytes[..<end], as: UTF8.self)
            }
            scanned = bytes.count
            guard !isAtEnd else {
                defer { bytes = [] }
                return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
            }
            guard bytes.count < Self.longest else { throw .usage("a line of \(name) does not end") }
            try readMore()
        }
    }

    private mutating func readMore() throws(Failure) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 && errno == EINTR { return }
        guard count >= 0 else { throw .usage("cannot read \(name): \(String(cString: strerror(errno)))") }
        bytes += buffer.prefix(count)
        isAtEnd = count == 0
    }
}
