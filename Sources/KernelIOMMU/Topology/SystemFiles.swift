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
    func list(_ path: String) -> [String] {
        guard let directory = opendir(root + path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// An attribute without the line end; nil if it cannot be read.
    func text(_ path: String) -> String? {
        guard let descriptor = try? Descriptor(opening: root + path, O_RDONLY) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.attributeBytes)
        let count = read(descriptor.number, &bytes, bytes.count)
        guard count >= 0 else { return nil }
        var text = String(decoding: bytes[..<count], as: UTF8.self)
        while text.last == "\n" { text.removeLast() }
        return text
    }

    /// The last name of what a link points at; nil if there is none.
    func target(_ path: String) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(root + path, start, buffer.count)
            guard count > 0 else { return nil }
            let target = String(decoding: UnsafeRawBufferPointer(buffer)[..<count], as: UTF8.self)
            return target.split(separator: "/").last.map(String.init)
        }
    }

    /// Whether this process may read and write it.
    func isUsable(_ path: String) -> Bool { access(root + path, R_OK | W_OK) == 0 }

    /// Whether it is there.
    func exists(_ path: String) -> Bool { access(root + path, F_OK) == 0 }
}
