import Glibc

/// What starting took and serving does not need.
enum StartupMemory {
    /// Lets the kernel take back the code that only start-up ran.
    ///
    /// Reading the command line and the configuration touches most of the program and its libraries once. Code is
    /// unchanged file content: what is needed again comes back from the page cache.
    static func release() {
        for range in codeRanges() {
            madvise(UnsafeMutableRawPointer(bitPattern: range.lowerBound), range.count, Int32(MADV_DONTNEED))
        }
    }

    /// The mappings of code out of files: private, executable and not writable, so without any change of this process.
    private static func codeRanges() -> [Range<UInt>] {
        lines(of: "/proc/self/maps").compactMap { line in
            // start-end permissions offset device inode path
            let fields = line.split(separator: " ")
            guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { return nil }
            let bounds = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            guard bounds.count == 2, bounds[0] < bounds[1] else { return nil }
            return bounds[0]..<bounds[1]
        }
    }

    private static func lines(of path: String) -> [Substring] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while case let count = read(file, &buffer, buffer.count), count > 0 { bytes += buffer.prefix(count) }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }
}
