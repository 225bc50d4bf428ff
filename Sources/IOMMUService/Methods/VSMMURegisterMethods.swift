import IOMMU
import JSONRPC

/// `vsmmu.mmio_*`, `vsmmu.tlbi` and `vsmmu.set_irq`: what a guest's CPU sees of a bare SMMU.
func declareVSMMURegisterMethods(_ methods: inout MethodTable<Service>) {
    declareRegisterAccess(&methods)
    declareBroadcasts(&methods)
    declareInterrupts(&methods)
}

extension BareRegisterPage: ParameterChoice {}

private let pageText = "Of what: smmu, or pmcg0, the counters."

private func declareRegisterAccess(_ methods: inout MethodTable<Service>) {
    declareRegisterRead(&methods)
    declareRegisterWrite(&methods)
}

private func declareRegisterRead(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.mmio_read", "Read a register.") { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let page = m.param("page", .choice(BareRegisterPage.self), default: .smmu, pageText)
        let offset = m.param(
            "offset", .address, "0 to 0x1ffff, of counters 0 to 0xfff; what lies beyond reads as zero.")
        let size = m.param("size", .count(), "4, or 8: a 64-bit register, or two of 32 bits.")
        let value = m.result("value", .hex, "What it reads.")
        m.needs(.bareSMMUs)
        m.refuses(.registers, .stopping)
        return { call, service in
            let (id, smmus) = (call[vsmmu], try service.bareSMMUs(call))
            let read = try smmus.mmioRead(id, page: call[page], offset: call[offset], size: Int(call[size]))
            guard smmus.hasNotices else { return call.reply { $0.set(value, read) } }
            // A counter of cycles has overflowed meanwhile.
            return try service.work(.translating, on: id, smmus, for: call) { (_, _) throws(IOMMUError) in
                true
            } write: {
                $0.set(value, read)
            }
        }
    }
}

private func declareRegisterWrite(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.mmio_write", "Write a register; all that follows is done with the reply.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let page = m.param("page", .choice(BareRegisterPage.self), default: .smmu, pageText)
        let offset = m.param(
            "offset", .address, "0 to 0x1ffff, of counters 0 to 0xfff; what lies beyond ignores writes.")
        let size = m.param("size", .count(), "4, or 8: a 64-bit register, or two of 32 bits.")
        let value = m.param("value", .address, "What to write.")
        m.needs(.bareSMMUs)
        m.refuses(.registers, .sessionEnds, .stopping)
        m.refuses(.EINVAL, .valueTooWide, "`value` does not fit `size` bytes.")
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let (id, page) = (call[vsmmu], call[page])
            let (offset, size, value) = (call[offset], Int(call[size]), call[value])
            var isWritten = false
            return try service.work(.writing, on: id, smmus, for: call) { (smmus, budget) throws(IOMMUError) in
                guard !isWritten else { return try smmus.consumeVSMMUCommands(id, &budget) }
                isWritten = true
                return try smmus.mmioWrite(id, page: page, offset: offset, size: size, value: value)
            }
        }
    }
}

private func declareBroadcasts(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.tlbi", "A broadcast TLB invalidation of the guest's CPUs, for an SMMU with IDR0.BTM.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let vmid = m.optional("vmid", .count(0...0xffff), "Of a VMID; absent: of all, or of 0 with `asid` or `va`.")
        let asid = m.optional("asid", .count(0...0xffff), "Of an ASID; absent: of all.")
        let va = m.optional("va", .address, "First byte; absent: everywhere.")
        let length = m.param("length", .address, default: 4096, "Bytes from `va`.")
        let el2 = m.param("el2", .bool, default: false, "Of EL2.")
        let heard = m.result("heard", .bool, "Whether the SMMU takes part: IDR0.BTM = 1 and CR2.PTM = 0.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .sessionEnds, .stopping)
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let broadcast = BareBroadcast(
                vmid: call[vmid].map { UInt16(truncatingIfNeeded: $0) },
                asid: call[asid].map { UInt16(truncatingIfNeeded: $0) }, address: call[va], length: call[length],
                isEL2: call[el2])
            let id = call[vsmmu]
            var isHeard = false
            return try service.work(.writing, on: id, smmus, for: call) { (smmus, _) throws(IOMMUError) in
                isHeard = try smmus.broadcastVSMMU(id, broadcast)
                return true
            } write: {
                $0.set(heard, isHeard)
            }
        }
    }
}

extension BareInterrupt: ParameterChoice {}

private func declareInterrupts(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.set_irq", "Signal an eventfd at an interrupt.", changesState: true) { m in
        m.takesDescriptors(0...1)
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let irq = m.param("irq", .choice(BareInterrupt.self), "Which interrupt.")
        let enable = m.param("enable", .bool, default: true, "False: no longer; then no descriptor is taken.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .descriptors, .room)
        m.refuses(.EINVAL, .notAnEventfd, "The descriptor is no eventfd.")
        m.refuses(.EAGAIN, .noSignals, "The system has no asynchronous I/O left to signal it with.")
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let descriptor = call[enable] ? try call.takeDescriptor() : nil
            try smmus.setVSMMUInterrupt(call[vsmmu], call[irq], descriptor: descriptor)
            return call.reply()
        }
    }
}
