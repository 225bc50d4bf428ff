import CLinux
import Glibc
import LinuxIO

/// The file that the program opens, found as the program would: from its root, its folder or a descriptor of its own.
struct ProgramPath {
    private let call: StoppedCall
    private let memory: ThreadMemory

    init(_ call: StoppedCall, _ memory: ThreadMemory) { (self.call, self.memory) = (call, memory) }

    /// The flags of an open, whichever call it is.
    static func flags(_ call: StoppedCall, _ memory: ThreadMemory) throws(Refusal) -> UInt64 {
        guard call.kind == .openWithHow else { return call.arguments[2] }
        return ArgumentBytes(try memory.read(call.arguments[2], count: 8))[word64: 0]
    }

    /// The file, opened for nothing but looking at it (O_PATH); nil if there is none, or it cannot be told: then the
    /// kernel says so.
    func find() -> Descriptor? {
        do {
            let path = try memory.path(call.arguments[1])
            let root = try Descriptor(opening: "/proc/\(call.thread)/root", CLINUX_O_PATH)
            let found = clinux_find_in_root(root.number, path.hasPrefix("/") ? path : try folder() + "/" + path, true)
            return found >= 0 ? Descriptor(adopting: found) : nil
        } catch {
            return nil
        }
    }

    /// Where relative paths begin.
    private func folder() throws(Refusal) -> String {
        let link =
            call.descriptor == AT_FDCWD ? "/proc/\(call.thread)/cwd" : "/proc/\(call.thread)/fd/\(call.descriptor)"
        guard let path = SmallFile.target(ofLink: link), path.hasPrefix("/") else { throw Refusal(ENOENT) }
        return path
    }
}

/// A file in one place: what is mounted at several has several.
struct NodeFile: Hashable {
    private let file: GivenFiles.Identity
    private let mount: UInt64

    /// nil if it is not open.
    init?(_ descriptor: Int32) {
        guard let file = GivenFiles.Identity(descriptor) else { return nil }
        self.file = file
        mount = clinux_mount_id(descriptor)
    }
}
