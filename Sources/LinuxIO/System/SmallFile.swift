import Glibc

/// Files in which the system says something: procfs, sysfs and their like.
public enum SmallFile {
    /// All that is in a file.
    ///
    /// - Parameter most: bytes after which the rest is left.
    /// - Throws: the errno of open(2) or read(2).
    public static func text(_ path: String, atMost most: Int = 64 << 10) throws(SystemError) -> String {
        let file = try Descriptor(opening: path, O_RDONLY)
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 8192)
        while content.count < most {
            let count = read(file.number, &buffer, min(buffer.count, most - content.count))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .current("read \(path)") }
            guard count > 0 else { break }
            content += buffer[..<count]
        }
        return String(decoding: content, as: UTF8.self)
    }

    /// What a symbolic link, or an entry of procfs that behaves like one, points at; nil if it cannot be told.
    public static func target(ofLink path: String) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(path, start, buffer.count)
            guard count > 0 else { return nil }
            return String(decoding: UnsafeRawBufferPointer(buffer)[..<count], as: UTF8.self)
        }
    }

    /// What a directory holds, in no order.
    ///
    /// - Throws: the errno of opendir(3).
    public static func names(in directory: String) throws(SystemError) -> [String] {
        guard let stream = opendir(directory) else { throw .current("read \(directory)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The name of a process's program, at most 15 bytes; nil if it cannot be seen from here.
    public static func program(ofProcess pid: Int32) -> String? {
        guard let text = try? text("/proc/\(pid)/comm") else { return nil }
        return text.isEmpty ? nil : String(text.prefix { $0 != "\n" })
    }
}
