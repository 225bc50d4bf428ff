import IOMMU
import LinuxIO

/// Address spaces, bonds and queues.
extension KeptContext: SharedAddressing, AcceleratorQueues {
    private func sharing() throws(IOMMUError) -> any SharedAddressing {
        guard let able = inner.sharedAddressing else { throw Capability.sharedAddressing.missing }
        return able
    }

    private func queues() throws(IOMMUError) -> any AcceleratorQueues {
        guard let able = inner.acceleratorQueues else { throw Capability.acceleratorQueues.missing }
        return able
    }

    /// What nobody has been told of is not there.
    private func born(_ mm: ObjectID) throws(IOMMUError) -> ObjectID {
        guard !unborn.contains(mm) else { throw .unknown(.unknownMM, "mm", mm, key: "mm") }
        return mm
    }

    // MARK: Opening

    /// ``SharedAddressing/openMM(pid:by:completion:)``, written down.
    package func openMM(
        pid: Int32, by client: ClientIdentity, completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        let opening = try Opening(self, completion)
        return try opening.took(
            { () throws(IOMMUError) in
                try sharing().openMM(pid: pid, by: client) { opening.opened($0) }
            })
    }

    /// ``SharedAddressing/openMM(pidfd:by:completion:)``, written down.
    package func openMM(
        pidfd: consuming Descriptor, by client: ClientIdentity,
        completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        let spaces = try sharing()
        let opening = try Opening(self, completion)
        do throws(IOMMUError) {
            return try spaces.openMM(pidfd: pidfd, by: client) { opening.opened($0) }
        } catch {
            opening.fail()
            throw error
        }
    }

    /// ``SharedAddressing/openMM(mem:maps:completion:)``, written down.
    package func openMM(
        mem: consuming Descriptor, maps: consuming Descriptor,
        completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        let spaces = try sharing()
        let opening = try Opening(self, completion)
        do throws(IOMMUError) {
            return try spaces.openMM(mem: mem, maps: maps) { opening.opened($0) }
        } catch {
            opening.fail()
            throw error
        }
    }

    /// ``SharedAddressing/isPidfd(_:)``, written down.
    package func isPidfd(_ descriptor: borrowing Descriptor) -> Bool {
        inner.sharedAddressing?.isPidfd(descriptor) ?? false
    }

    /// ``SharedAddressing/look(at:completion:)``, written down.
    package func look(
        at mm: ObjectID, completion: @escaping (Result<Void, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<Void> {
        try sharing().look(at: try born(mm)) { [self] result in unlessBeingWritten { completion(result) } }
    }

    // MARK: Address spaces

    /// ``SharedAddressing/createMM()``, written down.
    package func createMM() throws(IOMMUError) -> ObjectID {
        let spaces = try sharing()
        return try change({ _ in .createMM }) { () throws(IOMMUError) in try spaces.createMM() }
    }

    /// ``SharedAddressing/mapMM(_:va:memory:offset:length:access:populate:)``, written down.
    package func mapMM(
        _ mm: ObjectID, va: UInt64, memory: ObjectID, offset: UInt64, length: UInt64, access: Access, populate: Bool
    ) throws(IOMMUError) {
        let spaces = try sharing()
        let mapping = KeptMapping(iova: va, length: length, offset: offset, memory: memory, access: access)
        try change({ _ in .mapMM(mm: mm, va: va, mapping, populate: populate) }) { () throws(IOMMUError) in
            try spaces.mapMM(
                try born(mm), va: va, memory: memory, offset: offset, length: length, access: access,
                populate: populate)
        }
    }

    /// ``SharedAddressing/beginUnmapMM(_:va:length:)``, written down.
    package func beginUnmapMM(_ mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) -> Answer<Void> {
        let spaces = try sharing()
        return try begin({ _ in .unmapMM(mm: mm, va: va, length: length) }) { () throws(IOMMUError) in
            try spaces.beginUnmapMM(try born(mm), va: va, length: length)
        }
    }

    /// ``SharedAddressing/exitMM(_:)``, written down.
    package func exitMM(_ mm: ObjectID) throws(IOMMUError) {
        let spaces = try sharing()
        try change({ _ in .exitMM(mm) }) { () throws(IOMMUError) in try spaces.exitMM(try born(mm)) }
    }

    /// ``SharedAddressing/closeMM(_:)``, written down.
    package func closeMM(_ mm: ObjectID) throws(IOMMUError) {
        let spaces = try sharing()
        try change({ _ in .closeMM(mm) }) { () throws(IOMMUError) in try spaces.closeMM(try born(mm)) }
        if let space = self.spaces.removeValue(forKey: mm) { files.drop(space: space) }
    }

    // MARK: Bonds

    /// ``SharedAddressing/bindSVA(device:mm:)``, written down.
    package func bindSVA(
        device: ObjectID, mm: ObjectID
    ) throws(IOMMUError) -> (bond: ObjectID, pasid: UInt32, asid: UInt32) {
        let spaces = try sharing()
        return try change({ _ in .bindSVA(device: device, mm: mm, times: 1) }) { () throws(IOMMUError) in
            try spaces.bindSVA(device: device, mm: try born(mm))
        }
    }

    /// ``SharedAddressing/unbindSVA(bond:)``, written down.
    package func unbindSVA(bond: ObjectID) throws(IOMMUError) -> Int {
        let spaces = try sharing()
        return try change({ _ in .unbindSVA(bond: bond) }) { () throws(IOMMUError) in try spaces.unbindSVA(bond: bond) }
    }

    /// ``SharedAddressing/bonds()``, written down.
    package func bonds() -> [BondDescription] { inner.sharedAddressing?.bonds() ?? [] }

    /// ``SharedAddressing/terminate(access:with:)``, written down.
    package func terminate(access: AccessID, with error: IOMMUError) {
        inner.sharedAddressing?.terminate(access: access, with: error)
        if inner.acceleratorQueues !== inner.sharedAddressing {
            inner.acceleratorQueues?.terminate(access: access, with: error)
        }
    }

    // MARK: Queues

    /// ``AcceleratorQueues/openQueue(device:mm:)``, written down.
    package func openQueue(device: ObjectID, mm: ObjectID) throws(IOMMUError) -> (queue: ObjectID, pasid: UInt32) {
        let queues = try queues()
        return try change({ _ in .openQueue(device: device, mm: mm) }) { () throws(IOMMUError) in
            try queues.openQueue(device: device, mm: try born(mm))
        }
    }

    /// ``AcceleratorQueues/startQueue(_:)``, written down.
    package func startQueue(_ queue: ObjectID) throws(IOMMUError) -> QueueState {
        let queues = try queues()
        return try change({ _ in .startQueue(queue) }) { () throws(IOMMUError) in try queues.startQueue(queue) }
    }

    /// ``AcceleratorQueues/stopQueue(_:)``, written down.
    package func stopQueue(_ queue: ObjectID) throws(IOMMUError) -> QueueState {
        let queues = try queues()
        return try change({ _ in .stopQueue(queue) }) { () throws(IOMMUError) in try queues.stopQueue(queue) }
    }

    /// ``AcceleratorQueues/closeQueue(_:)``, written down.
    package func closeQueue(_ queue: ObjectID) throws(IOMMUError) -> QueueState {
        let queues = try queues()
        return try change({ _ in .closeQueue(queue) }) { () throws(IOMMUError) in try queues.closeQueue(queue) }
    }

    /// ``AcceleratorQueues/queueState(_:)``, written down.
    package func queueState(
        _ queue: ObjectID
    ) throws(IOMMUError) -> (state: QueueState, mm: ObjectID, pasid: UInt32) {
        try queues().queueState(queue)
    }

    /// ``AcceleratorQueues/submit(_:_:completion:)``, written down.
    package func submit(
        _ queue: ObjectID, _ operation: QueueOperation,
        completion: @escaping (Result<SubmitResult, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<SubmitResult> {
        try queues().submit(queue, operation, completion: completion)
    }
}

/// The way of an address space from its process to the journal: it is opened, its files are kept, it is written down.
private final class Opening {
    private let context: KeptContext
    private let completion: (Result<ObjectID, IOMMUError>) -> Void

    /// `ENOSPC`, `EIO`.
    init(
        _ context: KeptContext, _ completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) {
        (self.context, self.completion) = (context, completion)
        try context.journal.promise(KeptContext.shortRecord)
    }

    /// It will not be opened.
    func fail() { context.journal.release(KeptContext.shortRecord) }

    func took(
        _ body: () throws(IOMMUError) -> Progress<ObjectID>
    ) throws(IOMMUError) -> Progress<ObjectID> {
        do throws(IOMMUError) {
            return try body()
        } catch {
            fail()
            throw error
        }
    }

    func opened(_ result: Result<ObjectID, IOMMUError>) {
        context.unlessBeingWritten { self.take(result) }
    }

    private func take(_ result: Result<ObjectID, IOMMUError>) {
        do throws(IOMMUError) {
            try keep(try result.get())
        } catch {
            fail()
            completion(.failure(error))
        }
    }

    private func keep(_ mm: ObjectID) throws(IOMMUError) {
        // It is known already: nothing has changed.
        guard context.spaces[mm] == nil, !context.unborn.contains(mm), let facts = try context.state.processFacts(mm)
        else {
            fail()
            return completion(.success(mm))
        }
        let answer: Answer<UInt64>
        do throws(IOMMUError) {
            let descriptors = try context.state.processDescriptors(mm)
            answer = try context.files.keep(space: facts.space, descriptors, of: context.uid)
        } catch {
            withdraw(mm)
            throw error
        }
        switch answer {
        case .now(let file): write(mm, facts, file)
        case .later(let deferred):
            context.unborn.insert(mm)
            deferred.whenSettled { [self] result in
                context.unborn.remove(mm)
                switch result {
                case .success(let file): write(mm, facts, file)
                case .failure(let error):
                    withdraw(mm)
                    fail()
                    completion(.failure(error))
                }
            }
        }
    }

    private func withdraw(_ mm: ObjectID) {
        do throws(IOMMUError) { try context.inner.sharedAddressing?.closeMM(mm) } catch { return }
    }

    private func write(_ mm: ObjectID, _ before: KeptProcess, _ file: UInt64) {
        var facts = before
        facts.file = file
        context.spaces[mm] = facts.space
        let record = Record.change(
            session: context.serial, .openMM(facts), given: [Ledger.Entry(.mm, UInt64(mm))])
        context.journal.append(promised: KeptContext.shortRecord, record)
        completion(.success(mm))
    }
}
