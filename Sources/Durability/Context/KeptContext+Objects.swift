import IOMMU
import LinuxIO

/// Hwpts, queues, what virtual machines have, and memory.
extension KeptContext {
    private static func change(_ request: HWPTRequest) -> Change {
        .allocateHWPT(
            device: request.device, pt: request.pt, flags: request.flags.rawValue, fault: request.fault,
            vste: request.vste.map { WordPair($0.0, $0.1) })
    }

    /// ``IOMMUContext/allocateHWPT(_:)``, written down.
    package func allocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> ObjectID {
        try change({ _ in Self.change(request) }) { () throws(IOMMUError) in try inner.allocateHWPT(request) }
    }

    /// ``AnsweringLater/beginAllocateHWPT(_:)``, written down.
    package func beginAllocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> Answer<ObjectID> {
        try begin({ _ in Self.change(request) }) { () throws(IOMMUError) in try inner.beginAllocateHWPT(request) }
    }

    /// ``IOMMUContext/setDirtyTracking(hwpt:enabled:)``, written down.
    package func setDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError) {
        try change({ _ in .setDirtyTracking(hwpt: hwpt, enabled) }) { () throws(IOMMUError) in
            try inner.setDirtyTracking(hwpt: hwpt, enabled: enabled)
        }
    }

    /// ``IOMMUContext/allocateFaultQueue()``, written down.
    package func allocateFaultQueue() throws(IOMMUError) -> ObjectID {
        try change({ _ in .allocateFaultQueue }) { () throws(IOMMUError) in try inner.allocateFaultQueue() }
    }

    /// ``IOMMUContext/allocateVIOMMU(device:hwpt:type:)``, written down.
    package func allocateVIOMMU(device: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> ObjectID {
        try change({ _ in .allocateVIOMMU(device: device, hwpt: hwpt, type: type) }) { () throws(IOMMUError) in
            try inner.allocateVIOMMU(device: device, hwpt: hwpt, type: type)
        }
    }

    /// ``IOMMUContext/allocateVDevice(viommu:device:virtualID:)``, written down.
    package func allocateVDevice(
        viommu: ObjectID, device: ObjectID, virtualID: UInt64
    ) throws(IOMMUError) -> ObjectID {
        try change({ _ in .allocateVDevice(viommu: viommu, device: device, virtualID: virtualID) }) {
            () throws(IOMMUError) in
            try inner.allocateVDevice(viommu: viommu, device: device, virtualID: virtualID)
        }
    }

    /// ``IOMMUContext/allocateVEventQueue(viommu:type:depth:)``, written down.
    package func allocateVEventQueue(viommu: ObjectID, type: String, depth: UInt32) throws(IOMMUError) -> ObjectID {
        try change({ _ in .allocateVEventQueue(viommu: viommu, type: type, depth: depth) }) {
            () throws(IOMMUError) in
            try inner.allocateVEventQueue(viommu: viommu, type: type, depth: depth)
        }
    }

    // MARK: Later

    /// ``AnsweringLater/beginSetDirtyTracking(hwpt:enabled:)``, written down.
    package func beginSetDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError) -> Answer<Void> {
        try begin({ _ in .setDirtyTracking(hwpt: hwpt, enabled) }) { () throws(IOMMUError) in
            try inner.beginSetDirtyTracking(hwpt: hwpt, enabled: enabled)
        }
    }

    /// ``AnsweringLater/beginAllocateFaultQueue()``, written down.
    package func beginAllocateFaultQueue() throws(IOMMUError) -> Answer<ObjectID> {
        try begin({ _ in .allocateFaultQueue }, keeping: { $0 }) { () throws(IOMMUError) in
            try inner.beginAllocateFaultQueue()
        }
    }

    /// ``AnsweringLater/beginAllocateVIOMMU(device:hwpt:type:)``, written down.
    package func beginAllocateVIOMMU(
        device: ObjectID, hwpt: ObjectID, type: String
    ) throws(IOMMUError) -> Answer<ObjectID> {
        try begin({ _ in .allocateVIOMMU(device: device, hwpt: hwpt, type: type) }) { () throws(IOMMUError) in
            try inner.beginAllocateVIOMMU(device: device, hwpt: hwpt, type: type)
        }
    }

    /// ``AnsweringLater/beginAllocateVEventQueue(viommu:type:depth:)``, written down.
    package func beginAllocateVEventQueue(
        viommu: ObjectID, type: String, depth: UInt32
    ) throws(IOMMUError) -> Answer<ObjectID> {
        try begin({ _ in .allocateVEventQueue(viommu: viommu, type: type, depth: depth) }, keeping: { $0 }) {
            () throws(IOMMUError) in
            try inner.beginAllocateVEventQueue(viommu: viommu, type: type, depth: depth)
        }
    }

    // MARK: Memory

    /// Room is kept for the record of it.
    private func makeMemory(
        of descriptor: consuming Descriptor, name: String?, _ page: Ledger.Page
    ) throws(IOMMUError) -> (memory: ObjectID, size: UInt64) {
        try journal.promise(Self.shortRecord)
        do throws(IOMMUError) {
            let outer = state.ledger.exchange(page)
            defer { _ = state.ledger.exchange(outer) }
            return try inner.importMemory(descriptor, name: name)
        } catch {
            journal.release(Self.shortRecord)
            throw error
        }
    }

    /// Its file is not kept: for whoever may not wait.
    package func importMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> (memory: ObjectID, size: UInt64) {
        let page = Ledger.Page()
        let made = try makeMemory(of: descriptor, name: name, page)
        write(memory: made.memory, file: 0, page)
        return made
    }

    /// ``AnsweringLater/beginImportMemory(_:name:)``, written down.
    package func beginImportMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> Answer<(memory: ObjectID, size: UInt64)> {
        let page = Ledger.Page()
        let made = try makeMemory(of: descriptor, name: name, page)
        return try keep(made.memory, page) { made }
    }

    /// ``IOMMUContext/createMemory(size:name:huge:)``, written down.
    package func createMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> ObjectID {
        try journal.promise(Self.shortRecord)
        let page = Ledger.Page()
        do throws(IOMMUError) {
            let id = try state.ledger.within(page) { () throws(IOMMUError) in
                try inner.createMemory(size: size, name: name, huge: huge)
            }
            write(memory: id, file: 0, page)
            return id
        } catch {
            journal.release(Self.shortRecord)
            throw error
        }
    }

    /// ``AnsweringLater/beginCreateMemory(size:name:huge:)``, written down.
    package func beginCreateMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> Answer<ObjectID> {
        try journal.promise(Self.shortRecord)
        let page = Ledger.Page()
        let answer: Answer<ObjectID>
        do throws(IOMMUError) {
            answer = try state.ledger.within(page) { () throws(IOMMUError) in
                try inner.beginCreateMemory(size: size, name: name, huge: huge)
            }
        } catch {
            journal.release(Self.shortRecord)
            throw error
        }
        guard case .later(let deferred) = answer else {
            guard case .now(let id) = answer else { return answer }
            return try keep(id, page) { id }
        }
        let made = Deferred<ObjectID>()
        deferred.whenSettled { [self] result in
            do throws(IOMMUError) {
                let id = try result.get()
                switch try keep(id, page, { id }) {
                case .now(let id): made.settle(.success(id))
                case .later(let kept): kept.whenSettled { made.settle($0) }
                }
            } catch {
                if case .failure = result { journal.release(Self.shortRecord) }
                made.settle(.failure(error))
            }
        }
        return .later(made)
    }

    /// Has the file of a memory object kept, then writes down that there is one. Where it cannot be kept there is none.
    private func keep<Value>(
        _ memory: ObjectID, _ page: Ledger.Page, _ value: @escaping () -> Value
    ) throws(IOMMUError) -> Answer<Value> {
        let answer: Answer<UInt64>
        do throws(IOMMUError) {
            answer = try files.keep([try state.memoryDescriptor(memory)], of: uid, anew: true)
        } catch {
            withdraw(memory)
            throw error
        }
        switch answer {
        case .now(let file):
            write(memory: memory, file: file, page)
            return .now(value())
        case .later(let deferred):
            let made = Deferred<Value>()
            deferred.whenSettled { [self] result in
                switch result {
                case .success(let file):
                    write(memory: memory, file: file, page)
                    made.settle(.success(value()))
                case .failure(let error):
                    withdraw(memory)
                    made.settle(.failure(error))
                }
            }
            return .later(made)
        }
    }

    private func withdraw(_ memory: ObjectID) {
        journal.release(Self.shortRecord)
        // Nobody has been told of it, and the session was asked for nothing else.
        do throws(IOMMUError) { try inner.closeMemory(memory) } catch { return }
    }

    private func write(memory: ObjectID, file: UInt64, _ page: Ledger.Page) {
        var facts: KeptMemory?
        do throws(IOMMUError) { facts = try state.memoryFacts(memory) } catch {
            // The session has been closed meanwhile.
        }
        facts?.file = file
        if facts != nil { memoryFiles[memory] = file }
        write(facts.map { .addMemory($0) }, page, promised: Self.shortRecord)
    }

    /// ``IOMMUContext/closeMemory(_:)``, written down.
    package func closeMemory(_ memory: ObjectID) throws(IOMMUError) {
        // No kernel has a part in it.
        try change({ $0.map { .closeMemory(memory) } }) { () throws(IOMMUError) in try inner.closeMemory(memory) }
        guard let file = memoryFiles.removeValue(forKey: memory), file != 0 else { return }
        files.drop(file, count: 1, of: uid)
    }
}
