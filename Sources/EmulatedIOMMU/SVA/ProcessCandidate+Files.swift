import Glibc
import IOMMU
import LinuxIO

// MARK: - By the client's own files

extension ProcessCandidate {
    /// Both may come in either order.
    init(
        mem first: consuming Descriptor, maps second: consuming Descriptor,
        files: any ProcessFiles = KernelProcessFiles()
    ) throws(IOMMUError) {
        if files.link(ofDescriptor: first.number)?.hasSuffix("/maps") == true { swap(&first, &second) }
        let directory = Self.processDirectory(of: first.number, file: "mem", files)
        guard let directory, directory == Self.processDirectory(of: second.number, file: "maps", files),
            Self.isReadable(first.number, files), Self.isReadable(second.number, files),
            let device = Self.device(of: first.number, files), device == Self.device(of: second.number, files)
        else { throw Self.notMemAndMaps }
        pid = Self.verifiedPID(directory, first.number, files)
        memory = ProcessMemory(mem: first, maps: second, files: files)
        (client, pidfd, self.files) = (nil, nil, files)
    }

    /// The part of the path that names the process: both files have the same.
    private static func processDirectory(
        of descriptor: Int32, file: String, _ files: any ProcessFiles
    ) -> String? {
        guard files.isOfProcfs(descriptor), let path = files.link(ofDescriptor: descriptor),
            path.hasSuffix("/" + file)
        else { return nil }
        let directory = path.dropLast(file.utf8.count + 1)
        guard let last = directory.split(separator: "/").last, Int32(last) != nil else { return nil }
        return String(directory)
    }

    private static func isReadable(_ descriptor: Int32, _ files: any ProcessFiles) -> Bool {
        files.accessMode(ofDescriptor: descriptor).map { $0 != O_WRONLY } ?? false
    }

    private static func device(of descriptor: Int32, _ files: any ProcessFiles) -> UInt64? {
        files.facts(ofDescriptor: descriptor).flatMap { $0.isRegular ? $0.identity.device : nil }
    }

    /// The number means the same process here if our own procfs shows the very same file.
    private static func verifiedPID(_ directory: String, _ mem: Int32, _ files: any ProcessFiles) -> Int32? {
        guard let number = directory.split(separator: "/").last, let pid = Int32(number),
            let own = files.facts("/proc/\(pid)/mem")?.identity,
            own == files.facts(ofDescriptor: mem)?.identity
        else { return nil }
        return pid
    }

    static var notMemAndMaps: IOMMUError {
        IOMMUError(
            .EINVAL, .notMemAndMaps, "the two descriptors are not the mem and maps files of one process",
            hint: "open /proc/self/mem (O_RDWR) and /proc/self/maps in the process and send both in this order"
        )
    }
}
