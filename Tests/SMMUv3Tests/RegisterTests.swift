import SMMUv3
import Testing

/// The register file (6) and what its writes do.
@Suite struct RegisterTests {
    @Test func identification() throws {
        let machine = try Machine(enable: false)
        let words = Identification.laboratory
        #expect(machine.read(.IDR0) == UInt64(words.IDR0) && machine.read(.IDR5) == UInt64(words.IDR5))
        try machine.write(.IDR0, 0)
        try machine.write(.AIDR, 0)
        #expect(machine.read(.IDR0) == UInt64(words.IDR0) && machine.read(.AIDR) == 2)
    }

    @Test func resetValues() throws {
        let smmu = try SMMU(memory: SparseMemory(), identification: .laboratory)
        for register in [Register.CR0, .CR0ACK, .IRQ_CTRL, .IRQ_CTRLACK, .GERROR, .GERRORN, .STATUSR, .AGBPA] {
            #expect(smmu.value(of: register) == 0, "\(register)")
        }
        #expect(smmu.value(of: .GBPA) == 0x1000)
    }

    @Test func aLongCommandQueueIsWorkedOffInSteps() throws {
        let machine = try Machine()
        machine.smmu.commandsAtOnce = 2
        for index in 0..<8 as Range<UInt64> {
            machine.memory[Machine.commandQueue + 16 * index] = Command.SYNC().word0
        }
        try machine.write(.CMDQ_PROD, 5)
        var consumed = [machine.read(.CMDQ_CONS)]
        while machine.smmu.waitingCommands > 0 {
            machine.smmu.consumeWaitingCommands()
            consumed.append(machine.read(.CMDQ_CONS))
        }
        #expect(consumed == [2, 4, 5])
        // Nothing waits behind an error, or once the queue is off.
        machine.memory[Machine.commandQueue + 16 * 6] = 0xff
        try machine.write(.CMDQ_PROD, 8)
        #expect(machine.read(.CMDQ_CONS) == 6 | 1 << 24 && machine.smmu.waitingCommands == 0)
        try machine.recover()
        machine.smmu.consumeWaitingCommands()
        #expect(machine.read(.CMDQ_CONS) & 0xfffff == 8 && machine.smmu.waitingCommands == 0)
    }

    @Test func widthsAndAlignment() throws {
        let smmu = try Machine().smmu
        #expect(throws: MMIOError.badWidth) { try smmu.readRegister(0x20, width: 2) }
        #expect(throws: MMIOError.badWidth) { try smmu.writeRegister(0x98, width: 16, value: 0) }
        #expect(throws: MMIOError.misaligned) { try smmu.readRegister(0x22, width: 4) }
        #expect(throws: MMIOError.misaligned) { try smmu.readRegister(0x84, width: 8) }
        for offset in [0x1000, 0x1_fff8, 0x2_0000, 0xffff_fff8] as [UInt32] {
            try smmu.writeRegister(offset, width: 8, value: .max)
            try smmu.writeRegister(offset + 4, width: 4, value: .max)
            #expect(try smmu.readRegister(offset, width: 8) == 0 && smmu.readRegister(offset + 4, width: 4) == 0)
        }
    }

    /// Eight bytes at two registers of 32 bits are an access to each, the low one first.
    @Test func pairsOfRegisters() throws {
        let machine = try Machine(enable: false)
        let smmu = machine.smmu
        #expect(try smmu.readRegister(0, width: 8) == machine.read(.IDR0) | machine.read(.IDR1) << 32)
        #expect(try smmu.readRegister(0x40, width: 8) == machine.read(.GBPA) << 32)
        machine.memory[Machine.commandQueue] = Command.SYNC().word0
        // CR1 and CR2; then CR0, which enables the queues, with the read-only CR0ACK.
        try smmu.writeRegister(0x28, width: 8, value: 2 << 32 | 0x15)
        #expect(machine.read(.CR1) == 0x15 && machine.read(.CR2) == 2)
        try smmu.writeRegister(0x20, width: 8, value: .max << 32 | 0xd)
        #expect(try smmu.readRegister(0x20, width: 8) == 0xd_0000_000d)
        // CMDQ_PROD rings the bell before CMDQ_CONS, which may not be written then, is looked at.
        try smmu.writeRegister(0x98, width: 8, value: 7 << 32 | 1)
        #expect(try smmu.readRegister(0x98, width: 8) == 1 << 32 | 1)
    }

    @Test func halvesOfWideRegisters() throws {
        let machine = try Machine(enable: false)
        try machine.smmu.writeRegister(0x80, width: 4, value: 0xffff_ffff_9abc_def0)
        try machine.smmu.writeRegister(0x84, width: 4, value: 0x4012_3456)
        #expect(machine.read(.STRTAB_BASE) == 0x4012_3456_9abc_dec0)
        #expect(try machine.smmu.readRegister(0x84, width: 4) == 0x4012_3456)
    }

    /// 6.3.28: bits [19:QS+1] of the indices that the SMMU moves are RAZ.
    @Test func indicesHaveNoBitsAboveTheirQueue() throws {
        let machine = try Machine(enable: false)
        for register in [Register.CMDQ_CONS, .EVENTQ_PROD, .PRIQ_PROD] { try machine.write(register, 0xffff_ffff) }
        #expect(machine.read(.CMDQ_CONS) & 0xf_ffff == 0x7f)
        #expect(machine.read(.EVENTQ_PROD) == 0x8000_000f)
        #expect(machine.read(.PRIQ_PROD) == 0x8000_0007)
        try machine.write(.CMDQ_BASE, Machine.commandQueue | 2)
        #expect(machine.read(.CMDQ_CONS) & 0xf_ffff == 0x7)
    }

    @Test func reservedBitsOfCR0AreNotAcknowledged() throws {
        let machine = try Machine(
            Identification.laboratory.with(\.IDR0, 16, 16, 0).with(\.IDR0, 10, 10, 0), enable: false)
        try machine.write(.CR0, 0xffff_ffff)
        #expect(machine.read(.CR0ACK) == 0xd)
    }

    @Test func GBPANeedsUpdate() throws {
        let machine = try Machine(enable: false)
        try machine.write(.GBPA, 0x10_0000)
        #expect(machine.translate(0x1000).address == 0x1000)
        try machine.write(.GBPA, 0x8010_0000)
        #expect(machine.read(.GBPA) == 0x10_0000)
        #expect(machine.translate(0x1000).termination == .gbpaAbort)
        try machine.write(.GBPA, 0x8000_0000)
        #expect(machine.translate(0x1000, substream: 3).address == 0x1000)
        #expect(machine.translate(0x1000_0000_0000).termination == .addressBeyondOAS)
    }

    @Test func tablesAreGuardedWhileEnabled() throws {
        let machine = try Machine()
        let before = [
            Register.STRTAB_BASE, .STRTAB_BASE_CFG, .CMDQ_BASE, .CMDQ_CONS, .EVENTQ_BASE, .EVENTQ_PROD,
            .PRIQ_BASE, .PRIQ_PROD, .CR2, .CR1,
        ].map { ($0, machine.read($0)) }
        for (register, value) in before {
            try machine.write(register, ~value)
            #expect(machine.read(register) == value, "\(register)")
        }
    }

    @Test func unacknowledgedErrorsStopTheQueue() throws {
        let machine = try Machine()
        try machine.submit(Command(word0: 0xff, word1: 0), .SYNC(signal: 1))
        #expect(machine.commandError == 1 && machine.interrupts == [.globalError])
        #expect(machine.read(.CMDQ_CONS) & 0xfffff == 0)
        try machine.recover()
        #expect(machine.commandError == 0 && machine.interrupts == [.globalError, .commandSync])
        #expect(machine.read(.CMDQ_CONS) & 0xfffff == 2)
    }

    @Test func commandQueueWraps() throws {
        let machine = try Machine()
        for _ in 0..<200 {
            try machine.submit(.SYNC(signal: 1))
        }
        #expect(machine.read(.CMDQ_CONS) & 0xfffff == 200 % 128)
        #expect(machine.interrupts == Array(repeating: .commandSync, count: 200))
    }

    @Test func commandFetchAborts() throws {
        let machine = try Machine(enable: false)
        try machine.write(.CMDQ_BASE, 0x3_0000_0004)
        try machine.write(.CR0, 8)
        try machine.write(.CMDQ_PROD, 1)
        #expect(machine.commandError == 2 && machine.read(.CMDQ_CONS) & 0xfffff == 0)
    }

    @Test func eventQueueOverflow() throws {
        let machine = try Machine()
        for _ in 0..<8 {
            #expect(machine.translate(0x1000, stream: 3).isRecorded)
        }
        #expect(machine.read(.EVENTQ_PROD) == 8)
        for _ in 0..<3 {
            #expect(!machine.translate(0x1000, stream: 3).isRecorded)
        }
        #expect(machine.read(.EVENTQ_PROD) == 0x8000_0008 && machine.read(.GERROR) == 0)
        // Space without acknowledgement: records flow, a second overflow cannot show (7.4).
        try machine.write(.EVENTQ_CONS, 8)
        for _ in 0..<9 {
            _ = machine.translate(0x1000, stream: 3)
        }
        #expect(machine.read(.EVENTQ_PROD) == 0x8000_0000)
        try machine.write(.EVENTQ_CONS, 0x8000_0008)
        _ = machine.translate(0x1000, stream: 3)
        #expect(machine.read(.EVENTQ_PROD) == 0)
        #expect(machine.interrupts == [.eventQueue, .eventQueue])
    }

    @Test func eventQueueAbort() throws {
        let machine = try Machine(enable: false)
        try machine.write(.EVENTQ_BASE, 0x3_0000_0003)
        try machine.write(.CR0, 0xd)
        #expect(!machine.translate(0x1000, stream: 3).isRecorded)
        #expect(machine.read(.GERROR) == UInt64(GERROR.EVENTQ_ABT_ERR) && machine.read(.EVENTQ_PROD) == 0)
        #expect(machine.interrupts == [.globalError])
    }

    @Test func RECINVSIDGoverns() throws {
        let machine = try Machine(CR2: 0)
        let silent = machine.translate(0x1000, stream: 256)
        #expect(silent.type == .C_BAD_STREAMID && !silent.isRecorded)
        #expect(try machine.events().isEmpty)
    }

    @Test func messageInterrupts() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR0, 13, 13, 1), enable: false)
        try machine.write(.EVENTQ_IRQ_CFG0, 0x5000)
        #expect(machine.read(.EVENTQ_IRQ_CFG0) == 0)
        try machine.write(.IRQ_CTRL, 0)
        try machine.write(.EVENTQ_IRQ_CFG0, 0x5000)
        try machine.write(.EVENTQ_IRQ_CFG1, 0xabcd)
        try machine.write(.GERROR_IRQ_CFG0, 0x6000)
        try machine.write(.GERROR_IRQ_CFG1, 0x1234)
        try machine.write(.IRQ_CTRL, 5)
        try machine.write(.CR0, 0xd)
        _ = machine.translate(0x1000, stream: 3)
        #expect(machine.memory[0x5000] == 0xabcd)
        try machine.submit(.SYNC(signal: 1, msiAddress: 0x7004, msiData: 0x77), Command(word0: 0, word1: 0))
        #expect(machine.memory[0x7000] == 0x77 << 32 && machine.memory[0x6000] == 0x1234)
        try machine.recover()
        try machine.submit(.SYNC(signal: 1, msiAddress: 0x3_0000_0000, msiData: 1))
        #expect(machine.read(.GERROR) & UInt64(GERROR.MSI_CMDQ_ABT_ERR) != 0)
    }
}
