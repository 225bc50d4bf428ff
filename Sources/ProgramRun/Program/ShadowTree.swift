import CLinux
import Glibc
import LinuxIO

/// The file system as the program sees it: that of the system, with files added where nobody could make any.
///
/// A folder that lacks something gets a file system in memory over it, in which all that it has is mounted again, and
/// the rest can be made. For a process of its own, in a mount namespace of its own.
struct ShadowTree {
    /// Folders that may be written now.
    private var open: Set<String> = []
    /// Where a folder is kept while something is mounted over it.
    private let scratch: String

    /// - Parameter scratch: an empty folder, which nobody else sees afterwards.
    init(scratch: String) throws(SystemError) {
        self.scratch = scratch
        try SystemError.check(clinux_mount_memory(scratch), "mount on \(scratch)")
    }

    /// Makes a file, or puts another one in its place.
    mutating func add(_ file: RunPlan.File) throws(SystemError) {
        try makeRoom(for: file.path)
        switch file.content {
        case .link(let target):
            guard symlink(target, file.path) == 0 || errno == EEXIST else { throw .current("make \(file.path)") }
        case .text(let text):
            let number = Glibc.open(file.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o444)
            guard number >= 0 else { throw .current("make \(file.path)") }
            let descriptor = Descriptor(adopting: number)
            let bytes = Array(text.utf8)
            guard Glibc.write(descriptor.number, bytes, bytes.count) == bytes.count else {
                throw .current("write \(file.path)")
            }
        }
    }

    /// Mounts a file in a place.
    mutating func mount(_ source: String, at path: String) throws(SystemError) {
        try makeRoom(for: path)
        try touch(path)
        try SystemError.check(clinux_bind_mount(source, path), "mount on \(path)")
    }

    // MARK: Folders

    /// Makes the folder of a path, and a place for its last part.
    private mutating func makeRoom(for path: String) throws(SystemError) {
        guard !Self.exists(path) else { return }
        let folder = Self.folder(of: path)
        if !Self.exists(folder) {
            try makeRoom(for: folder)
            guard mkdir(folder, 0o755) == 0 else { throw .current("make \(folder)") }
            open.insert(folder)
        }
        guard !open.contains(folder) else { return }
        try reopen(folder)
        open.insert(folder)
    }

    /// The folder again, with room for more.
    private func reopen(_ folder: String) throws(SystemError) {
        let kept = scratch + "/" + folder.split(separator: "/").joined(separator: "-")
        let new = kept + "-new"
        for path in [kept, new] where mkdir(path, 0o755) != 0 { throw .current("make \(path)") }
        try SystemError.check(clinux_bind_mount(folder, kept), "mount \(folder)")
        try SystemError.check(clinux_mount_memory(new), "mount on \(new)")
        for entry in try Self.entries(of: kept) { try add(entry, from: kept, to: new) }
        try SystemError.check(clinux_move_mount(new, folder), "mount on \(folder)")
    }

    private func add(_ entry: (name: String, kind: UInt32), from old: String, to new: String) throws(SystemError) {
        let (source, target) = (old + "/" + entry.name, new + "/" + entry.name)
        switch entry.kind {
        case UInt32(DT_LNK):
            guard let pointed = SmallFile.target(ofLink: source), symlink(pointed, target) == 0 else {
                throw .current("make \(target)")
            }
            return
        case UInt32(DT_DIR):
            guard mkdir(target, 0o755) == 0 else { throw .current("make \(target)") }
        default: try touch(target)
        }
        // What this user may not mount is not to be seen.
        _ = clinux_bind_mount(source, target)
    }

    private func touch(_ path: String) throws(SystemError) {
        let number = Glibc.open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw .current("make \(path)") }
        _ = close(number)
    }

    private static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    private static func folder(of path: String) -> String {
        let end = path.lastIndex(of: "/") ?? path.startIndex
        return end == path.startIndex ? "/" : String(path[..<end])
    }

    private static func entries(of folder: String) throws(SystemError) -> [(name: String, kind: UInt32)] {
        guard let stream = opendir(folder) else { throw .current("read \(folder)") }
        defer { closedir(stream) }
        var entries: [(name: String, kind: UInt32)] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { entries.append((name, UInt32(entry.pointee.d_type))) }
        }
        return entries
    }
}
