import IOMMU
import JSONRPC

/// `vsmmu.mmio_*` and `vsmmu.set_irq`: what a guest's CPU sees of a bare SMMU.
func declareVSMMURegisterMethods(_ methods: inout MethodTable<Service>) {
    declareRegisterAccess(&methods)
    declareInterrupts(&methods)
}

private func declareRegisterAccess(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.mmio_read", "Read a register.") { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let offset = m.param("offset", .address, "0 to 0x1ffff; what lies beyond reads as zero.")
        let size = m.param("size", .count(), "4, or 8: a 64-bit register, or two of 32 bits.")
        let value = m.result("value", .hex, "What it reads.")
        m.needs(.bareSMMUs)
        m.refuses(.registers)
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let read = try smmus.mmioRead(call[vsmmu], offset: call[offset], size: Int(call[size]))
            return call.reply { $0.set(value, read) }
        }
    }

    methods.declare(
        "vsmmu.mmio_write", "Write a register; all that follows is done with the reply.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let offset = m.param("offset", .address, "0 to 0x1ffff; what lies beyond ignores writes.")
        let size = m.param("size", .count(), "4, or 8: a 64-bit register, or two of 32 bits.")
        let value = m.param("value", .address, "What to write.")
        m.needs(.bareSMMUs)
        m.refuses(.registers, .sessionEnds, .stopping)
        m.refuses(.EINVAL, .valueTooWide, "`value` does not fit `size` bytes.")
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let isDone = try smmus.mmioWrite(
                call[vsmmu], offset: call[offset], size: Int(call[size]), value: call[value])
            return isDone ? call.reply() : try service.consumeCommands(of: call[vsmmu], smmus, for: call)
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
