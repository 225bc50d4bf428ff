import IOMMU

/// An address space that devices share: a process's, or one that a client made up.
///
/// It is what Linux calls an mm. Threads and CLONE_VM children have the same one, fork makes another, exec and the exit
/// of its last user end it.
package final class AddressSpace {
    /// Where its pages come from.
    enum Backing {
        case process(ProcessMemory)
        case synthetic(SyntheticMemory)
    }

    unowned let manager: SVAManager
    let backing: Backing
    /// One of its processes when it was opened; nil if unknown or synthetic. Only for people: pids are used again.
    package let pid: Int32?
    let layout: ProcessLayout
    /// No other address space has it, ever.
    var serial: UInt64 = 0
    /// Its number before a restart, while all is made again; whether its files were lost.
    var (restoredSerial, isWithoutFiles): (UInt64?, Bool) = (nil, false)
    /// Work on this address space is done in order; other address spaces do not wait for it. It counts for the user who
    /// opened it.
    let ticket: ForeignTicket
    /// Somebody is looking whether it still lives.
    var isBeingProbed = false
    /// false once its last user has gone; for good.
    package private(set) var isLive = true
    /// The same on every device; nil while nothing is bound.
    package internal(set) var pasid: UInt32?
    /// The CPUs' ASID, pinned while an SMMU with broadcast uses it.
    package internal(set) var cpuASID: UInt16?
    var (pasidShare, cpuASIDShare): (PoolShare?, PoolShare?)
    var views: [AddressSpaceView] = []
    var attachments: [SVAAttachment] = []
    /// What sessions call it.
    var handles: [AddressSpaceHandle] = []
    /// Physical windows by virtual window number.
    private var windows: [UInt64: UInt64] = [:]
    /// Faults that wait for the process's memory.
    private var pendingFaults: [PendingFault] = []
    /// Windows that devices may use before the tables are emptied and filled anew.
    private static let windowLimit = 4096
    /// Bytes of one area that are in the tables from the beginning; what lies beyond is filled on fault.
    private static let populatedAtOnce: UInt64 = 64 << 20

    init(manager: SVAManager, synthetic: SyntheticMemory, ticket: ForeignTicket) {
        self.manager = manager
        backing = .synthetic(synthetic)
        (pid, layout) = (nil, ProcessLayout())
        self.ticket = ticket
    }

    init(manager: SVAManager, opened: OpenedProcess, ticket: ForeignTicket) {
        self.manager = manager
        backing = .process(opened.memory)
        (pid, layout) = (opened.pid, opened.layout)
        self.ticket = ticket
    }

    /// File descriptors that hold it: `mem` and `maps` of a process.
    var descriptors: UInt64 { isSynthetic ? 0 : 2 }

    /// A client made it up: no process is behind it.
    package var isSynthetic: Bool {
        if case .synthetic = backing { return true }
        return false
    }

    var process: ProcessMemory? {
        if case .process(let memory) = backing { return memory }
        return nil
    }

    /// Processes that were found to share it, besides the one that it was opened by. They say what it is when that one
    /// has gone.
    var sharers: some Sequence<OpenedProcess> { handles.lazy.flatMap(\.sharers) }

    // MARK: End

    /// Looks whether the processes are still there; a process that has gone ends the address space. Where only somebody
    /// else may look, what was heard last counts.
    @discardableResult
    package func probe() -> Bool {
        // What is made again lived when it was made.
        guard manager.ledger?.isRestoring != true else { return isLive }
        if isLive, manager.memory.probesAtOnce, let process, !process.isAlive { exit() }
        return isLive
    }

    /// - Throws: `EBUSY` while an access to it does not end, `EDQUOT` while too many of its user do not.
    package func checkAnswers() throws(IOMMUError) {
        if !isSynthetic, let refusal = manager.memory.refusal(for: ticket) { throw refusal }
    }

    /// The address space has ended: devices are stopped quietly, and everything that is bound stays so until it is
    /// unbound. Does little, and never waits for a fault that is being resolved.
    func exit() {
        guard isLive else { return }
        isLive = false
        for attachment in attachments { attachment.stopQueues() }
        for view in views { view.domain.quiesce() }
        answerPendingFaults()
        manager.ended(self)
    }

    /// Nothing uses it any more.
    func dispose() {
        if !isSynthetic { manager.memory.forget(ticket) }
        for window in windows.values { manager.windows.release(window) }
        windows = [:]
        if case .synthetic(let memory) = backing { memory.removeAll() }
    }

    // MARK: Tables

    /// Puts into the tables what the areas permit around an address.
    ///
    /// - Parameter area: a part of the address space with the same rights everywhere.
    func fill(_ view: AddressSpaceView, around address: UInt64, area: AddressRange, access: Access) throws(IOMMUError) {
        let window = address / ProcessWindows.size
        let start = window &* ProcessWindows.size
        let low = max(area.start, start)
        let high = min(area.last, start &+ (ProcessWindows.size - 1))
        let pages = Int((low &- start) >> 12)..<Int((high &- start) >> 12) + 1
        let physical: UInt64
        let isKnown = windows[window] != nil
        switch backing {
        case .process: physical = try physicalWindow(window)
        case .synthetic(let memory):
            guard let area = memory.area(at: address) else { return }
            physical = area.physical(low) &- (low &- start)
        }
        do throws(IOMMUError) {
            try view.fill(window: window, pages: pages, access: access, physical: physical)
        } catch {
            if !isKnown, let unused = windows.removeValue(forKey: window) { manager.windows.release(unused) }
            throw error
        }
    }

    private func physicalWindow(_ window: UInt64) throws(IOMMUError) -> UInt64 {
        if let known = windows[window] { return known }
        if windows.count >= Self.windowLimit { releaseWindows() }
        let physical = try manager.windows.take(for: self, address: window &* ProcessWindows.size)
        windows[window] = physical
        return physical
    }

    private func releaseWindows() {
        if let range = AddressRange(start: 0, last: SVAManager.lastAddress) { zap(range) }
        for window in windows.values { manager.windows.release(window) }
        windows = [:]
    }

    /// Takes a range out of every SMMU's tables and caches.
    func zap(_ range: AddressRange) {
        for view in views { view.zap(range) }
    }

    /// Puts the pages that are present from the beginning into new tables.
    func populate(_ view: AddressSpaceView) throws(IOMMUError) {
        guard case .synthetic(let memory) = backing else { return }
        for area in memory.areas where area.isPopulated { try populate(view, area) }
    }

    func populate(_ view: AddressSpaceView, _ area: SyntheticMemory.Area) throws(IOMMUError) {
        let last = min(area.range.last, area.range.start &+ (Self.populatedAtOnce - 1))
        var address = area.range.start
        while address <= last {
            try fill(view, around: address, area: area.range, access: area.access)
            address = (address / ProcessWindows.size &+ 1) &* ProcessWindows.size
        }
    }

    // MARK: Faults

    private struct PendingFault {
        let driver: SMMUDriver
        let tag: DriverFault.Tag
    }

    private func answerPendingFaults() {
        let faults = pendingFaults
        pendingFaults = []
        for fault in faults { fault.driver.respond(to: fault.tag, success: false) }
    }

    /// Answers a fault that waited, if nobody has meanwhile.
    private func answer(_ fault: DriverFault, of device: EmulatedDevice, success: Bool) {
        guard let index = pendingFaults.firstIndex(where: { $0.tag == fault.tag && $0.driver === device.driver })
        else { return }
        pendingFaults.remove(at: index)
        device.driver.respond(to: fault.tag, success: success)
        device.smmu.engine.pump()
    }

    /// Answers what a device asked for before its PASID goes.
    func answerFaults(of device: EmulatedDevice) {
        let faults = pendingFaults.filter { $0.driver === device.driver && device.owns($0.tag) }
        pendingFaults.removeAll { $0.driver === device.driver && device.owns($0.tag) }
        for fault in faults { fault.driver.respond(to: fault.tag, success: false) }
    }
}

// MARK: - Page faults

extension AddressSpace: PageFaultHandler {
    /// Resolves a device's page fault as a CPU's would be; an address that the areas do not permit fails the access
    /// without a trace among the SMMU's errors.
    package func handle(_ fault: DriverFault, from device: EmulatedDevice) {
        guard fault.last else { return }
        guard isLive, let view = views.first(where: { $0.smmu === device.smmu }),
            fault.permissions.isDisjoint(with: [.execute, .privileged])
        else { return device.driver.respond(to: fault.tag, success: false) }
        let isWrite = fault.permissions.contains(.write)
        switch backing {
        case .synthetic(let memory):
            guard let area = memory.area(at: fault.address), !isWrite || area.access.allowsWriting else {
                return device.driver.respond(to: fault.tag, success: false)
            }
            let isFilled = fillOrFail(view, around: fault.address, area: area.range, access: area.access)
            device.driver.respond(to: fault.tag, success: isFilled)
        case .process(let memory):
            resolve(fault, of: device, view, in: memory, isWrite: isWrite)
        }
    }

    private func fillOrFail(
        _ view: AddressSpaceView, around address: UInt64, area: AddressRange, access: Access
    ) -> Bool {
        do throws(IOMMUError) {
            try fill(view, around: address, area: area, access: access)
            return true
        } catch {
            return false
        }
    }

    private func resolve(
        _ fault: DriverFault, of device: EmulatedDevice, _ view: AddressSpaceView, in memory: ProcessMemory,
        isWrite: Bool
    ) {
        pendingFaults.append(PendingFault(driver: device.driver, tag: fault.tag))
        let address = fault.address
        manager.memory.touch(address, write: isWrite, in: memory, for: ticket) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(let area):
                let isFilled =
                    self.isLive
                    && AddressRange(start: area.start, last: area.end &- 1).map {
                        self.fillOrFail(
                            view, around: address, area: $0,
                            access: area.isWritable && memory.isWritable ? [.read, .write] : .read)
                    } == true
                self.answer(fault, of: device, success: isFilled)
            case .failure(.memory(.gone)):
                self.exit()
                device.smmu.engine.pump()
            case .failure(.memory):
                self.answer(fault, of: device, success: false)
            case .failure(.refused(let error)):
                device.smmu.engine.explain(fault.tag, error)
                self.answer(fault, of: device, success: false)
            }
        }
    }
}

extension ProcessMemory {
    /// Makes a page present the way a CPU's access would, and says in what area it lies. An area that may only be
    /// written is none for reading, nor the other way round.
    func touch(_ address: UInt64, write: Bool) -> Result<ProcessArea, Failure> {
        do throws(Failure) {
            guard let area = try area(at: address), write ? area.isWritable && isWritable : area.isReadable else {
                return .failure(isAlive ? .denied(address) : .gone)
            }
            var failure: Failure?
            var byte: UInt8 = 0
            withUnsafeMutableBytes(of: &byte) { buffer in
                do throws(Failure) { try read(address, into: buffer) } catch { failure = error }
            }
            if let failure { return .failure(failure) }
            return .success(area)
        } catch {
            return .failure(error)
        }
    }
}

extension EmulatedDevice {
    /// Whether a fault came from one of the device's streams.
    func owns(_ tag: DriverFault.Tag) -> Bool {
        switch tag {
        case .stall(let streamID, _), .pri(let streamID, _, _): description.streamIDs.contains(streamID)
        }
    }
}
