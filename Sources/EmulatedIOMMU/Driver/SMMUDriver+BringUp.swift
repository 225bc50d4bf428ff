import IOMMU
import SMMUv3

extension SMMUDriver {
    /// From reset to translating, in the order of IHI 0070 6.3.9: tables, command queue, event queue, interrupts,
    /// SMMUEN.
    func bringUp() throws(IOMMUError) {
        guard features.hasStage1 || features.hasStage2 else {
            throw IOMMUError(
                .EOPNOTSUPP, .noTranslation, "\(name) has neither stage of translation",
                hint: "set stage1 or stage2 to true", ["smmu": .text(name)])
        }
        var enabled: UInt32 = 0
        try setCR0(enabled)
        // Tables and queues: inner shareable, write-back.
        port.write(.CR1, 0xd75)
        // Broadcast TLB invalidation is heard only where the CPUs' ASIDs are the SMMU's.
        port.write(.CR2, CR2.RECINVSID | (features.hasBroadcastTLB ? 0 : CR2.PTM))
        let table = streams.registers
        port.write64(.STRTAB_BASE, table.base)
        port.write(.STRTAB_BASE_CFG, table.configuration)

        port.write64(.CMDQ_BASE, queue.baseRegister)
        port.write(.CMDQ_PROD, 0)
        port.write(.CMDQ_CONS, 0)
        enabled |= CR0.CMDQEN
        try setCR0(enabled)
        queue.append(.CFGI_ALL())
        queue.sync()
        if features.hasHypervisorRegime { queue.append(.TLBI_EL2_ALL()) }
        queue.append(.TLBI_NSNH_ALL())
        queue.sync()

        eventQueue.start(base: .EVENTQ_BASE)
        enabled |= CR0.EVENTQEN
        try setCR0(enabled)
        if let priQueue {
            priQueue.start(base: .PRIQ_BASE)
            enabled |= CR0.PRIQEN
            try setCR0(enabled)
        }
        if features.hasATS {
            enabled |= CR0.ATSCHK
            try setCR0(enabled)
        }
        try enableInterrupts()
        try setCR0(enabled | CR0.SMMUEN)
    }

    private func setCR0(_ value: UInt32) throws(IOMMUError) {
        guard port.write(.CR0, value, acknowledgedBy: .CR0ACK) else { throw silent("CR0") }
    }

    /// Wired interrupts: no MSI addresses.
    private func enableInterrupts() throws(IOMMUError) {
        guard port.write(.IRQ_CTRL, 0, acknowledgedBy: .IRQ_CTRLACK) else { throw silent("IRQ_CTRL") }
        port.write64(.GERROR_IRQ_CFG0, 0)
        port.write64(.EVENTQ_IRQ_CFG0, 0)
        var enabled = IRQ_CTRL.GERROR_IRQEN | IRQ_CTRL.EVENTQ_IRQEN
        if features.hasPRI {
            port.write64(.PRIQ_IRQ_CFG0, 0)
            enabled |= IRQ_CTRL.PRIQ_IRQEN
        }
        guard port.write(.IRQ_CTRL, enabled, acknowledgedBy: .IRQ_CTRLACK) else { throw silent("IRQ_CTRL") }
    }

    private func silent(_ register: String) -> IOMMUError {
        IOMMUError(
            .EIO, .smmuSilent, "\(name) does not acknowledge \(register)", hint: "reset it, or look at its GERROR",
            ["smmu": .text(name)])
    }
}
