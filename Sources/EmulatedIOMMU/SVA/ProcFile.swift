import Glibc
import LinuxIO

/// Small text files of procfs.
enum ProcFile {
    /// The content, at most 64 KiB of it; nil if it cannot be read.
    static func read(_ path: String) -> String? { try? content(path) }

    /// The content, at most 64 KiB of it. - Throws: the errno of open(2).
    static func content(_ path: String) throws(SystemError) -> String {
        let file = try Descriptor(opening: path, O_RDONLY)
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 8192)
        while content.count < 64 << 10 {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(file.number, $0.baseAddress, $0.count) }
            if count < 0, Glibc.errno == EINTR { continue }
            guard count > 0 else { break }
            content += buffer[..<count]
        }
        return String(decoding: content, as: UTF8.self)
    }

    /// The words behind `key` in a file of `key:<tab>value` lines.
    static func values(of key: String, in content: String) -> [Substring]? {
        for line in content.split(separator: "\n") where line.hasPrefix(key) && line.dropFirst(key.count).first == ":" {
            return line.dropFirst(key.count + 1).split { $0 == " " || $0 == "\t" }
        }
        return nil
    }
}
