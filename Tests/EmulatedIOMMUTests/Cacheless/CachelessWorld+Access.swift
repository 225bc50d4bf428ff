import SMMUv3

@testable import EmulatedIOMMU

extension CachelessWorld {
    /// What an access meets, in few words.
    enum Answer: Equatable {
        case output(UInt64)
        case event(UInt8)
        case terminated
    }

    private static func answer(_ translation: Translation) -> Answer {
        switch translation {
        case .ok(let output): .output(output.address)
        case .fault(let record, _), .stalled(_, let record, _), .held(let record): .event(record.number)
        case .terminated: .terminated
        }
    }

    /// An SMMU with the registers of the driver's, out of reset.
    private func cacheless() throws -> SMMU<MachineMemory> {
        let smmu = try SMMU(
            memory: bench.machine.memory, identification: identification,
            geometry: CacheGeometry(tlbEntries: 16, configurationEntries: 4))
        for register in [Register.CR1, .CR2, .STRTAB_BASE, .STRTAB_BASE_CFG, .CR0] {
            let value = try bench.smmu.readRegister(register.rawValue, width: register.width)
            try smmu.writeRegister(
                register.rawValue, width: register.width, value: register == .CR0 ? UInt64(CR0.SMMUEN) : value)
        }
        return smmu
    }

    /// - Returns: what is wrong, or nil.
    func access(_ device: Device, _ pasid: UInt32?, _ address: UInt64, _ write: Bool) -> String? {
        let transaction = Transaction(
            streamID: device.master.streamIDs[0], substreamID: pasid, address: address, access: write ? .write : .read)
        guard let smmu = try? cacheless() else { return "there is no second SMMU" }
        let expected = Self.answer(smmu.inspect(transaction, trace: false).translation)
        let found = ask(device, transaction)
        bench.driver.service()
        bench.events.events.removeAll(keepingCapacity: true)
        bench.events.masters.removeAll(keepingCapacity: true)
        guard found == expected else {
            return "stream \(String(transaction.streamID, radix: 16)) pasid \(pasid ?? 0) at"
                + " \(String(address, radix: 16)): \(found), without caches \(expected)"
        }
        guard case .output = found else { return nil }
        hits += 1
        if device.master.attachment.nestedDomain?.configuration == .stage1, pasid == nil { nestedHits += 1 }
        return write ? checkDirty(device, pasid, address) : nil
    }

    /// A write that got through has left its mark where writes are tracked.
    private func checkDirty(_ device: Device, _ pasid: UInt32?, _ address: UInt64) -> String? {
        guard let domain = device.master.attachment(pasid: pasid).pagingDomain, domain.isTrackingDirty,
            let leaf = domain.table.lookup(address)
        else { return nil }
        return leaf.descriptor & LeafAttributes.readOnly == 0 ? nil : "a write to \(address) went unnoticed"
    }

    /// Through the device's own cache where its ATS is on.
    private func ask(_ device: Device, _ transaction: Transaction) -> Answer {
        let isWrite = transaction.access == .write
        guard device.master.isATSEnabled else { return Self.answer(bench.smmu.translate(transaction)) }
        let page = transaction.address & ~0xfff
        let known = device.cache.first {
            $0.page == page && $0.pasid == transaction.substreamID && ($0.isWrite || !isWrite)
        }
        if let known {
            cachedHits += 1
            return .output(known.output | transaction.address & 0xfff)
        }
        var request = transaction
        request.addressType = .translationRequest
        guard case .ok(let output) = bench.smmu.translate(request), !isWrite || output.attributes.isWritable else {
            return Self.answer(bench.smmu.translate(transaction))
        }
        device.cache.append(
            CachedTranslation(
                pasid: transaction.substreamID, page: page, output: output.address & ~0xfff, isWrite: isWrite))
        return .output(output.address)
    }
}

extension CachelessWorld: SMMUDelegate {
    func interruptRaised(_ interrupt: Interrupt) {}
    func stallResolved(_ resolution: StallResolution) {}
    func pageRequestAnswered(_ answer: PageRequestAnswer) {}

    /// Without a PASID the whole range goes, whatever the PASID; with one only what belongs to it.
    func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
        guard let device = devices.first(where: { $0.master.streamIDs.contains(invalidation.streamID) }) else {
            return true
        }
        device.cache.removeAll { entry in
            let isOf = invalidation.substreamID == nil || invalidation.substreamID == entry.pasid
            let span = UInt64(invalidation.log2Size)
            return isOf && (span >= 64 || entry.page >> span == invalidation.address >> span)
        }
        return true
    }
}
