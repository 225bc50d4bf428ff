import IOMMU
import LinuxIO

extension MemoryHelpers: ForeignMemory {
    /// Has a helper look into a process.
    ///
    /// - Throws: `EBUSY`, `EDQUOT` at once where nothing can be asked.
    package func open(
        _ process: consuming NamedProcess, for ticket: ForeignTicket,
        completion: @escaping (Result<OpenedProcess, IOMMUError>) -> Void
    ) throws(IOMMUError) {
        if let refusal = refusal(for: ticket) { throw refusal }
        let (work, descriptors) = try Self.work(for: process)
        submit(
            HelperJob(work, for: ticket, descriptors: descriptors) { outcome in
                switch outcome {
                case .opened(let opened): completion(.success(opened))
                case .refused(let error): completion(.failure(error))
                case .answered, .read: completion(.failure(.helperLost))
                }
            })
    }

    private static func work(
        for process: consuming NamedProcess
    ) throws(IOMMUError) -> (HelperRequest.Work, [SharedDescriptor]) {
        switch consume process {
        case .pid(let pid, let client): return (.openPID(pid, uid: client.uid, gid: client.gid), [])
        case .pidfd(let pidfd, let client):
            return (.openPidfd(uid: client.uid, gid: client.gid), [SharedDescriptor(pidfd)])
        case .files(let mem, let maps): return (.openFiles, [SharedDescriptor(mem), SharedDescriptor(maps)])
        }
    }

    /// Has a helper ask kcmp(KCMP_VM) of one process and others; `EIO` if the helper is lost.
    package func compare(
        _ pid: Int32, with others: [Int32], for ticket: ForeignTicket,
        completion: @escaping (Result<[Int32], IOMMUError>) -> Void
    ) {
        submit(
            HelperJob(.compare(pid, others: others), for: ticket) { outcome in
                switch outcome {
                case .answered(.compared(let answers)): completion(.success(answers))
                case .refused(let error): completion(.failure(error))
                case .answered, .opened, .read: completion(.failure(.helperLost))
                }
            })
    }

    /// Has a helper make a page present.
    package func touch(
        _ address: UInt64, write: Bool, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<ProcessArea, ForeignFailure>) -> Void
    ) {
        submit(
            HelperJob(.touch(address, write: write), for: ticket, memories: [memory]) { outcome in
                if case .answered(.touched(let area)) = outcome {
                    completion(.success(area))
                } else {
                    completion(.failure(outcome.failure))
                }
            })
    }

    /// Has a helper look at the areas of a process.
    package func check(
        _ address: UInt64, length: UInt64, _ access: Access, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<Void, ForeignFailure>) -> Void
    ) {
        submit(
            HelperJob(.check(address, length: length, access), for: ticket, memories: [memory]) { outcome in
                if case .answered(.moved) = outcome {
                    completion(.success(()))
                } else {
                    completion(.failure(outcome.failure))
                }
            })
    }

    /// Has a helper move one piece between a device and a process; the transfer can be cancelled.
    package func move(
        _ piece: DeviceOperation, previous: UInt32?, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<MovedData, ForeignFailure>) -> Void
    ) -> any DataTransfer {
        var payload: [UInt8] = []
        if case .write(_, let bytes) = piece { payload = bytes }
        let job = HelperJob(
            .move(ProcessMover.Piece(piece), previous: previous), for: ticket, memories: [memory], payload: payload
        ) { outcome in
            switch outcome {
            case .read(let bytes): completion(.success(MovedData(bytes: bytes)))
            case .answered(.moved(let checksum)): completion(.success(MovedData(checksum: checksum)))
            case .answered, .opened, .refused: completion(.failure(outcome.failure))
            }
        }
        submit(job)
        return job
    }

    package var probesAtOnce: Bool { false }

    package func probe(
        _ memories: [ProcessMemory], for ticket: ForeignTicket, completion: @escaping ([Bool]) -> Void
    ) {
        submit(
            HelperJob(.probe(count: memories.count), for: ticket, memories: memories) { outcome in
                if case .answered(.probed(let answers)) = outcome {
                    completion(answers)
                } else {
                    completion(memories.map { _ in true })
                }
            })
    }
}

extension HelperJob.Outcome {
    /// Of something that was to be touched or moved.
    fileprivate var failure: ForeignFailure {
        switch self {
        case .answered(.failed(let failure)): .memory(failure)
        case .refused(let error): .refused(error)
        case .answered, .opened, .read: .refused(.helperLost)
        }
    }
}

// MARK: - Refusals

extension IOMMUError {
    static var stuck: IOMMUError {
        IOMMUError(
            .EBUSY, .addressSpaceStuck, "an access to the address space waits for a page that does not come",
            hint: "let the process's page come (from a FUSE or NFS server, or userfaultfd), or end the process")
    }

    static func tooManyStuck(_ count: Int, of uid: UInt32, limit: Int) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .quotaExceeded,
            "accesses to \(count) address spaces of user \(uid) wait for pages that do not come",
            hint: "end those processes, or ask the administrator to raise limits.stuck_address_spaces",
            ["limit": .number(UInt64(limit)), "used": .number(UInt64(count))])
    }

    static var helperLost: IOMMUError {
        IOMMUError(
            .EIO, .memoryHelperLost, "the helper that worked in the process's memory has ended before it was through",
            hint: "try again; the log of the kernel says if it ran out of memory")
    }

    static var noHelper: IOMMUError {
        IOMMUError(
            .EAGAIN, .noMemoryHelper, "no helper can be had that works in the memory of processes",
            hint: "try again later, or let the administrator end processes whose pages do not come")
    }

    /// For accesses that have ended already: nobody gets to see it.
    static var nobodyWaits: IOMMUError { .svaUnbound }
}
