import IOMMU
import LinuxIO

/// Gives files back that were kept.
package protocol FileGiving: AnyObject {
    /// A file once more; nil: it was lost.
    func give(_ file: UInt64) -> Descriptor?
}

extension KeptContext {
    /// Makes a change again that was written down, with what it was given.
    ///
    /// - Returns: false where it was given something else.
    /// - Throws: what it is refused with now.
    package func restore(_ change: Change, given: [Ledger.Entry], _ giver: any FileGiving) throws(IOMMUError) -> Bool {
        let page = Ledger.Page(wanted: given)
        try state.ledger.within(page) { () throws(IOMMUError) in
            guard let living, change.isOfKernel else { return try make(change, giver) }
            try living.enter(change) { giver.give($0) }
            remember(change, given)
        }
        return !page.isRefused
    }

    /// By which descriptors are found again.
    private func remember(_ change: Change, _ given: [Ledger.Entry]) {
        if case .destroy(let id) = change { objectFiles[id] = nil }
        if case .unbind(let id) = change { objectFiles[id] = nil }
        guard let file = given.first(where: { $0.kind == .file })?.value else { return }
        if case .openIOMMUFD = change { contextFile = file }
        guard let object = given.first(where: { $0.kind == .object })?.value else { return }
        objectFiles[ObjectID(truncatingIfNeeded: object)] = file
    }

    /// Brings the last change to an end, of which nobody knows whether the kernel has made it.
    private func resolve(_ begun: Change?) {
        guard let living else { return }
        let page = Ledger.Page()
        let outer = state.ledger.exchange(page)
        let made = living.resolve(begun)
        _ = state.ledger.exchange(outer)
        if case .destroy(let id)? = made, let file = objectFiles.removeValue(forKey: id) {
            files.drop(file, count: 1, of: uid)
        }
        guard begun != nil else { return }
        journal.append(
            made.map { .change(session: serial, $0, given: page.entries) } ?? .withdrawn(session: serial))
    }

    private func make(_ change: Change, _ giver: any FileGiving) throws(IOMMUError) {
        switch change {
        case .allocateIOAS: _ = try inner.allocateIOAS()
        case .unmap(let ioas, let iova, let length): _ = try inner.unmap(ioas: ioas, iova: iova, length: length)
        case .copy(let from, let iova, let length, let to, let target, let access):
            _ = try inner.copy(from: from, iova: iova, length: length, to: to, iova: target, access: access)
        case .allowIOVAs(let ioas, let ranges): try inner.allowIOVAs(ioas: ioas, ranges: ranges)
        case .setHugePages(let ioas, let on): try inner.setHugePages(ioas: ioas, on)
        case .bind(let name): _ = try inner.bind(deviceNamed: name)
        case .unbind(let device): try inner.unbind(device: device)
        case .attach(let device, let pt, let pasid): _ = try inner.attach(device: device, to: pt, pasid: pasid)
        case .replace(let device, let pt, let pasid): _ = try inner.replace(device: device, with: pt, pasid: pasid)
        case .detach(let device, let pasid): try inner.detach(device: device, pasid: pasid)
        case .destroy(let id): try inner.destroy(object: id)
        default: try makeTables(change, giver)
        }
    }

    private func makeTables(_ change: Change, _ giver: any FileGiving) throws(IOMMUError) {
        switch change {
        case .allocateHWPT(let device, let pt, let flags, let fault, let vste):
            _ = try inner.allocateHWPT(
                HWPTRequest(
                    device: device, pt: pt, flags: HWPTFlags(rawValue: flags), fault: fault,
                    vste: vste.map { ($0.first, $0.second) }))
        case .setDirtyTracking(let hwpt, let on): try inner.setDirtyTracking(hwpt: hwpt, enabled: on)
        case .allocateFaultQueue: _ = try inner.allocateFaultQueue()
        case .allocateVIOMMU(let device, let hwpt, let type):
            _ = try inner.allocateVIOMMU(device: device, hwpt: hwpt, type: type)
        case .allocateVDevice(let viommu, let device, let virtualID):
            _ = try inner.allocateVDevice(viommu: viommu, device: device, virtualID: virtualID)
        case .allocateVEventQueue(let viommu, let type, let depth):
            _ = try inner.allocateVEventQueue(viommu: viommu, type: type, depth: depth)
        case .map, .unmapMM, .hwpt, .nestedHWPT, .viommu, .removedDevice, .tombstones, .goneBond:
            try state.restore(change)
        case .addMemory(let facts): try make(facts, giver)
        case .closeMemory(let id):
            try inner.closeMemory(id)
            memoryFiles[id] = nil
            lost.remove(id)
        case .openMM(let facts): try make(facts, giver)
        default: try makeSharing(change)
        }
    }

    /// More are not made again.
    private static let mostBinds: UInt32 = 1 << 20

    private func make(_ facts: KeptMemory, _ giver: any FileGiving) throws(IOMMUError) {
        let file = facts.file == 0 ? nil : giver.give(facts.file)
        let isLost = file == nil
        let id = try state.restoreMemory(facts, file)
        memoryFiles[id] = facts.file
        if isLost { lost.insert(id) }
    }

    private func make(_ facts: KeptProcess, _ giver: any FileGiving) throws(IOMMUError) {
        let mem = facts.file == 0 ? nil : giver.give(facts.file)
        let maps = facts.file == 0 ? nil : giver.give(facts.file + 1)
        let id = try state.restoreProcess(facts, mem: mem, maps: maps)
        restoredFiles[id] = facts.file
    }

    private func makeSharing(_ change: Change) throws(IOMMUError) {
        guard let spaces = inner.sharedAddressing, let queues = inner.acceleratorQueues else {
            throw Capability.sharedAddressing.missing
        }
        switch change {
        case .createMM: _ = try spaces.createMM()
        case .mapMM(let mm, let va, let mapping, let populate):
            try spaces.mapMM(
                mm, va: va, memory: mapping.memory, offset: mapping.offset, length: mapping.length,
                access: mapping.access, populate: populate)
        case .exitMM(let mm): try spaces.exitMM(mm)
        case .closeMM(let mm):
            try spaces.closeMM(mm)
            restoredFiles[mm] = nil
        case .bindSVA(let device, let mm, let times):
            for _ in 0..<min(times, Self.mostBinds) { _ = try spaces.bindSVA(device: device, mm: mm) }
        case .unbindSVA(let bond): _ = try spaces.unbindSVA(bond: bond)
        case .openQueue(let device, let mm): _ = try queues.openQueue(device: device, mm: mm)
        case .startQueue(let queue): _ = try queues.startQueue(queue)
        case .stopQueue(let queue): _ = try queues.stopQueue(queue)
        case .closeQueue(let queue): _ = try queues.closeQueue(queue)
        default: return
        }
    }

    /// All changes have been made again: which files are wanted.
    package func claimFiles() {
        for (memory, file) in memoryFiles where file != 0 && !lost.contains(memory) {
            files.restored(file: file, of: uid)
        }
        for file in objectFiles.values { files.restored(file: file, of: uid) }
        if contextFile != 0 { files.restored(file: contextFile, of: uid) }
        for (mm, file) in restoredFiles {
            do throws(IOMMUError) {
                guard let facts = try state.processFacts(mm) else { continue }
                spaces[mm] = facts.space
                files.restored(space: facts.space, file: file, of: uid)
            } catch {
                continue
            }
        }
        restoredFiles = [:]
    }

    /// What nobody wants has gone: brings all of it to an end.
    ///
    /// - Parameter begun: what a kernel was about to do.
    /// - Returns: memory objects whose files are lost, which are no more.
    package func settle(_ begun: Change?) -> [ObjectID] {
        resolve(begun)
        let gone = lost.sorted()
        for memory in gone {
            state.lose(memory: memory)
            memoryFiles[memory] = nil
        }
        lost = []
        state.settle()
        return gone
    }
}

extension Change {
    /// It is about what is in an iommufd, and not about what the daemon has itself.
    fileprivate var isOfKernel: Bool {
        switch self {
        case .addMemory, .closeMemory: false
        default: true
        }
    }
}
