import IOMMU
import SMMUv3

/// Accesses that wait for something that there is not enough of: places for stalls, page request groups.
extension DMAEngine {
    /// Tries those again that may have a place now.
    func stepHeld() {
        while let access = places.next() {
            step(access)
            // A place that the SMMU does not give after all.
            guard access.ticket == nil || access.result != nil else { return }
        }
    }

    /// Tries all again that wait: their configuration may be another.
    func reconsider() {
        mustReconsider = false
        for access in places.waiting where access.result == nil { step(access) }
        let lacking = groupless
        groupless = [:]
        for access in lacking.values.joined() { makeReady(access) }
    }

    /// Takes what waits for a place, a group or a turn out of its line.
    func forget(_ access: DeviceAccess) {
        access.ticket = nil
        due[ObjectIdentifier(access)] = nil
        if groupless[access.streamID] != nil { groupless[access.streamID]?.removeAll { $0 === access } }
        let groups = requested.filter { $0.value === access }.map(\.key)
        for key in groups {
            requested[key] = nil
            giveBackGroup(of: key.streamID)
        }
    }

    /// Those of a stream that wait for a place or a group.
    func waiting(streamID: UInt32) -> [DeviceAccess] {
        places.waiting.filter { $0.streamID == streamID } + (groupless[streamID] ?? [])
    }

    /// Says why the fault that an access waits for is about to be refused, where the process has no say in it.
    func explain(_ tag: DriverFault.Tag, _ error: IOMMUError) {
        switch tag {
        case .stall(let streamID, let tag):
            stalled[StallKey(streamID: streamID, tag: tag)]?.access.cause = error
        case .pri(let streamID, _, let group):
            requested[RequestKey(streamID: streamID, index: group)]?.cause = error
        }
    }

    // MARK: Page requests

    /// Asks for a page, as soon as the device has a page request group left.
    func requestPage(_ transaction: Transaction, of access: DeviceAccess) {
        access.ticket = nil
        guard let index = freeGroup(of: access.streamID) else {
            access.attempts -= 1
            groupless[access.streamID, default: []].append(access)
            smmu.reportsConfiguration = true
            return
        }
        requested[RequestKey(streamID: access.streamID, index: index)] = access
        let request = PageRequest(
            streamID: access.streamID, substreamID: access.pasid, address: transaction.address,
            access: transaction.access, prgIndex: index, isLast: true
        )
        // Also where the SMMU answered in place of software: the queue may need to be emptied.
        hasInterrupt = true
        switch smmu.receive(request) {
        case .queued: break
        case .answered(let answer): pageRequestAnswered(answer)
        case .discarded: break
        }
    }

    private func freeGroup(of streamID: UInt32) -> UInt16? {
        for _ in 0..<512 {
            let index = nextRequest
            nextRequest = (nextRequest + 1) & 0x1ff
            if requested[RequestKey(streamID: streamID, index: index)] == nil { return index }
        }
        return nil
    }

    /// Lets the next of the stream ask.
    func giveBackGroup(of streamID: UInt32) {
        guard var line = groupless[streamID], !line.isEmpty else { return }
        makeReady(line.removeFirst())
        groupless[streamID] = line.isEmpty ? nil : line
    }

    func pageRequestFailed(_ access: DeviceAccess) -> IOMMUError {
        let start = access.piece.start
        return IOMMUError(
            .EFAULT, .pageRequestFailed, "the page request for the access at \(hexadecimal(start)) was refused",
            hint: "map the page, and answer its fault with success", ["address": .hex(start)])
    }
}
