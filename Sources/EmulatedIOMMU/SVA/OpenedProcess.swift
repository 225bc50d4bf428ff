import IOMMU
import LinuxIO

/// The address space of a process, opened and known to be what it was asked for.
package struct OpenedProcess: Sendable {
    let memory: ProcessMemory
    /// nil if it belongs to another pid namespace.
    let pid: Int32?
    let layout: ProcessLayout
    let files: any ProcessFiles

    /// Whether an address space of processes opened earlier, which still lives and has the same layout, is this one. In
    /// doubt it is not; nor if one was opened for reading only, since what the one may do the other may not.
    ///
    /// - Parameter compare: kcmp(KCMP_VM)
    func isSame(as space: AddressSpace, compare: (Int32, Int32) -> Int32) -> Bool {
        guard let first = space.process, memory.isWritable == first.isWritable else { return false }
        return shares(with: first, of: space.pid, compare)
            || space.sharers.contains { shares(with: $0.memory, of: $0.pid, compare) }
    }

    private func shares(
        with otherMemory: ProcessMemory, of otherPID: Int32?, _ compare: (Int32, Int32) -> Int32
    ) -> Bool {
        guard let identity = memory.identity else { return false }
        // The same file of the same procfs is the same process, also where its number says nothing to the daemon. A
        // process that was given the number of another has a file of its own.
        if identity == otherMemory.identity { return pid == nil || otherPID == nil || pid == otherPID }
        guard let pid, let otherPID, pid != otherPID else { return false }
        let comparison = compare(pid, otherPID)
        // Not permitted to ask: threads of one process share, others are taken not to.
        guard comparison == 0 || (comparison < 0 && files.facts("/proc/\(pid)/task/\(otherPID)") != nil) else {
            return false
        }
        return memory.belongs(to: pid) && otherMemory.belongs(to: otherPID)
    }

    /// Still a process with this number.
    var isRunning: Bool { pid.map { memory.belongs(to: $0) } ?? false }
}

/// Open files of a process that may be used if they turn out to be what they claim.
///
/// Making one asks the kernel for permission and never waits for the process. ``examine()`` looks into the address
/// space, which can take as long as the process wants: that is work for a worker.
package struct ProcessCandidate: Sendable {
    let memory: ProcessMemory
    let pid: Int32?
    /// Who asked for a process by its number; nil for a process's own files.
    let client: ClientIdentity?
    let pidfd: SharedDescriptor?
    let files: any ProcessFiles

    /// Looks into the address space, and makes sure that it was opened for whom and of whom it should be.
    func examine() -> Result<OpenedProcess, IOMMUError> {
        do throws(IOMMUError) {
            guard memory.isAlive else { throw ended }
            guard memory.isKnown, let layout = try? memory.layout(), memory.isConsistent(layout) else {
                // It may have ended since.
                throw !memory.isAlive ? ended : client == nil ? Self.notMemAndMaps : Self.noProcess(pid)
            }
            if let client, let pid {
                try Self.recheck(pid, client, files)
                guard memory.belongs(to: pid) else { throw Self.noProcess(pid) }
            }
            // Only now is it sure that the number still meant the process of the descriptor.
            if let pidfd, try Self.pid(ofPidfd: pidfd.number, files) != pid { throw Self.noProcess(pid) }
            return .success(OpenedProcess(memory: memory, pid: pid, layout: layout, files: files))
        } catch {
            return .failure(pid.map { error.with("pid", .number(UInt64($0))) } ?? error)
        }
    }

    private var ended: IOMMUError {
        .mmExited(pid.map { "the address space of process \($0)" } ?? "the address space")
    }

    /// Whoever was opened still has the identity that was checked, and is not a program run meanwhile.
    private static func recheck(
        _ pid: Int32, _ client: ClientIdentity, _ files: any ProcessFiles
    ) throws(IOMMUError) {
        try checkOwner(of: pid, client, files)
        if isOwnUser(client) { try checkDumpable(pid, files) }
    }
}

extension ProcessMemory {
    /// Whether `mem` and `maps` show the same living address space, and `mem` is what it claims to be: nothing can be
    /// read at 0, and the areas of `maps` can.
    func isConsistent(_ layout: ProcessLayout) -> Bool {
        let sample = try? sampleArea(layout)
        guard let sample else { return false }
        var bytes: UInt32 = 0
        let isThere = withUnsafeMutableBytes(of: &bytes) { buffer in
            (try? read(sample.address, into: buffer)) != nil
        }
        var nothing: UInt8 = 0
        let isEmptyAtZero = withUnsafeMutableBytes(of: &nothing) { buffer in
            do throws(Failure) {
                try read(0, into: buffer)
                return false
            } catch {
                return error == .unreachable(0)
            }
        }
        return isThere && isEmptyAtZero && (!sample.isELF || UInt32(littleEndian: bytes) == 0x464c_457f)
    }

    /// The vDSO, whose first bytes are known; else any readable area.
    private func sampleArea(_ layout: ProcessLayout) throws(Failure) -> (address: UInt64, isELF: Bool)? {
        if layout.vdso != 0 { return (layout.vdso, true) }
        return try firstReadableArea().map { ($0.start, false) }
    }
}
