import IOMMU
import IOMMUObjects
import SMMUv3

// MARK: - dma.*

extension EmulatedContext {
    /// `dma.read`: what the device reads, through the whole SMMU.
    ///
    /// - Throws: `EFAULT` with the event, or with the reason why there is none; `EINVAL`, `EOVERFLOW`.
    package func dmaRead(
        device: ObjectID, pasid: UInt32?, iova: UInt64, length: UInt64,
        completion: @escaping (Result<[UInt8], IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<[UInt8]> {
        let device = try self.device(device)
        try checkSpan(iova, length: length, limit: limits.transfer)
        let progress = try run(.read(iova, length: length), on: device, pasid: pasid) { completion($0.map(\.bytes)) }
        switch progress {
        case .done(let outcome): return .done(outcome.bytes)
        case .pending(let access): return .pending(access)
        }
    }

    /// `dma.write`. - Returns: bytes written.
    package func dmaWrite(
        device: ObjectID, pasid: UInt32?, iova: UInt64, bytes: [UInt8],
        completion: @escaping (Result<UInt64, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<UInt64> {
        let device = try self.device(device)
        try checkSpan(iova, length: UInt64(bytes.count), limit: limits.transfer)
        let progress = try run(.write(iova, bytes), on: device, pasid: pasid) { completion($0.map(\.completed)) }
        switch progress {
        case .done(let outcome): return .done(outcome.completed)
        case .pending(let access): return .pending(access)
        }
    }

    /// Ends an access that waits, for a timeout or the end of a connection: its completion gets `error`.
    package func terminate(access id: AccessID, with error: IOMMUError) {
        pending.terminate(id, with: error)
    }

    /// Starts an operation of a device; `completion` is called only if it has to wait.
    ///
    /// - Parameter observer: told when the access starts to wait and when it has ended.
    func run(
        _ operation: DeviceOperation, on device: EmulatedDevice, pasid: UInt32?,
        observer: @escaping (DeviceAccess, Bool) -> Void = { _, _ in },
        completion: @escaping (Result<DeviceOutcome, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<DeviceOutcome> {
        let streamID = try streamID(of: device, pasid: pasid)
        if let pasid, let space = device.sharers[pasid], space.probe() { try space.checkAnswers() }
        let master = device.master
        let isQuiesced = { master.attachment(pasid: pasid).svaDomain?.isLive == false }
        let access = DeviceAccess(
            id: backend.makeAccessID(), owner: stallOwner,
            streamID: streamID, pasid: pasid, operation: operation, usesATS: { master.isATSEnabled },
            usesPageRequests: master.canPRI && master.canATS && !isQuiesced()
                && master.translation(pasid: pasid).allowsFaults,
            isQuiesced: isQuiesced, causes: FaultCauses(device: device, pasid: pasid)
        ) { termination in
            switch termination {
            case .steAbort where master.attachment.isBlocked: .blocked
            case .faultNotRecorded where isQuiesced(): .quiesced
            default: Reason(termination)
            }
        }
        let engine = device.smmu.engine
        // Whether it will have to wait is not known before it has asked for a page.
        try account.charge(1, of: .waitingAccesses)
        engine.start(access)
        if let result = access.result {
            account.release(1, of: .waitingAccesses)
            return .done(try result.get())
        }
        pending.add(access.id) { engine.terminate(access, with: $0) }
        observer(access, true)
        access.completion = { [pending, account] result in
            account.release(1, of: .waitingAccesses)
            pending.finish(access.id)
            observer(access, false)
            completion(result)
        }
        return .pending(access.id)
    }

    private func streamID(of device: EmulatedDevice, pasid: UInt32?) throws(IOMMUError) -> UInt32 {
        guard let streamID = device.description.streamIDs.first else {
            throw IOMMUError(
                .ENODEV, .noStream, "device \(device.name) has no StreamID", hint: "take a device that has one",
                ["name": .text(device.name)])
        }
        if let pasid, pasid >= 1 << 20 {
            throw IOMMUError(
                .EINVAL, .badPASID, "PASID \(pasid) has more than 20 bits", hint: "give one below 1048576",
                ["pasid": .number(UInt64(pasid))])
        }
        return streamID
    }

    private var stallOwner: StallOwner {
        StallOwner(
            session: ObjectIdentifier(self), uid: account.uid,
            fraction: account.isAdministrator ? 1 : account.fraction)
    }

    func checkSpan(_ address: UInt64, length: UInt64, limit: UInt64) throws(IOMMUError) {
        guard length > 0, length <= limit else {
            throw IOMMUError(
                .EINVAL, .badLength, "no transfer has \(hexadecimal(length)) bytes",
                hint: "move at least one byte and at most \(hexadecimal(limit)) at once",
                ["length": .hex(length), "limit": .hex(limit)]
            )
        }
        guard AddressRange(start: address, length: length) != nil else {
            throw IOMMUError(
                .EOVERFLOW, .addressOverflow, "\(span(length, at: address)) wrap at the end of the address space",
                hint: "keep address + length within 64 bits",
                ["iova": .hex(address), "length": .hex(length)]
            )
        }
    }
}
