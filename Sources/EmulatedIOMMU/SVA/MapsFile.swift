import Glibc

/// What differs between two program images of one process, and does not change while one runs; equal in parent and
/// child after fork.
struct ProcessLayout: Hashable, Sendable {
    var vdso: UInt64 = 0
    /// Exclusive; the stack grows away from it.
    var stackEnd: UInt64 = 0
    /// Made of the random bytes that the kernel gives to each image (AT_RANDOM); 0 if they cannot be found.
    var seed = 0
}

/// Reads `/proc/PID/maps` as text: the way of kernels without PROCMAP_QUERY, and of names.
struct MapsFile {
    let descriptor: Int32
    let files: any ProcessFiles

    /// Calls `body` for each area in order until it returns false; the name is a slice of the line.
    func forEach(_ body: (ProcessArea, ArraySlice<UInt8>) -> Bool) throws(ProcessMemory.Failure) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var rest: [UInt8] = []
        var offset: UInt64 = 0
        while true {
            let count = buffer.withUnsafeMutableBytes { files.read(descriptor, at: offset, into: $0) }
            if count == -Int(EINTR) { continue }
            guard count >= 0 else { throw .gone }
            guard count > 0 else { return }
            offset += UInt64(count)
            rest += buffer[..<count]
            var start = 0
            while let end = rest[start...].firstIndex(of: 10) {
                if let (area, name) = Self.parse(rest[start..<end]), !body(area, name) { return }
                start = end + 1
            }
            rest.removeFirst(start)
            // A path is at most 4096 bytes, each perhaps escaped; a longer line is not a line of this file.
            guard rest.count < 32 << 10 else { return }
        }
    }

    /// Whether an area of that name has no file behind it.
    static func isAnonymous(_ name: ArraySlice<UInt8>) -> Bool { name.isEmpty || name.first == UInt8(ascii: "[") }

    func area(at address: UInt64, orNext: Bool) throws(ProcessMemory.Failure) -> ProcessArea? {
        var found: ProcessArea?
        try forEach { area, _ in
            guard address < area.end else { return true }
            if orNext || address >= area.start { found = area }
            return false
        }
        return found
    }

    func layout() throws(ProcessMemory.Failure) -> ProcessLayout {
        var layout = ProcessLayout()
        try forEach { area, name in
            if name.elementsEqual("[vdso]".utf8) { layout.vdso = area.start }
            if name.elementsEqual("[stack]".utf8) { layout.stackEnd = area.end }
            return true
        }
        return layout
    }

    /// `start-end perms offset device inode name`
    static func parse(_ line: ArraySlice<UInt8>) -> (ProcessArea, ArraySlice<UInt8>)? {
        let fields = line.split(separator: 32, maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count >= 5, fields[1].count == 4, let dash = fields[0].firstIndex(of: 45),
            let start = hexadecimal(fields[0][..<dash]), let end = hexadecimal(fields[0][(dash + 1)...]), start < end
        else { return nil }
        let permissions = Array(fields[1])
        let name = fields.count > 5 ? fields[5].drop { $0 == 32 } : []
        let (isReadable, isWritable) = (permissions[0] == 114, permissions[1] == 119)
        return (ProcessArea(start: start, end: end, isReadable: isReadable, isWritable: isWritable), name)
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard !digits.isEmpty, digits.count <= 16 else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            switch digit {
            case 48...57: value = value << 4 | UInt64(digit - 48)
            case 97...102: value = value << 4 | UInt64(digit - 87)
            default: return nil
            }
        }
        return value
    }
}
