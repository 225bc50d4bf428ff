import SMMUv3
import TestSupport

/// An operating system's driver, in the order in which Linux does things: probe, reset, stream table, contexts, SVA
/// with stalls and page requests, ATS on and off, unmap storms. Written from the specification.
final class ReferenceGuest {
    private let vmm: ReferenceVMM
    private var free: UInt64
    private var producer: UInt64 = 0
    private var (events, requests): (UInt64, UInt64) = (0, 0)
    private var (commandQueue, eventQueue, requestQueue, streams): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// Second levels of the stream table that are there.
    private var spans: [UInt64: UInt64] = [:]
    /// Roots of the tables of each address space, by ASID.
    private var roots: [UInt16: UInt64] = [:]
    /// Events that were no stalls.
    private(set) var faults: [EventRecord] = []
    /// What answers a fault of an address space: a page, or nothing.
    var pager: (UInt16, UInt64) -> UInt64? = { _, _ in nil }
    /// The ASID of each stream and substream with page faults.
    private var spacesOfStreams: [UInt64: UInt16] = [:]

    /// Boots.
    init(_ vmm: ReferenceVMM) throws {
        self.vmm = vmm
        free = ReferenceVMM.base
        vmm.memory.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        guard try vmm.read(0x1c, size: 4) & 0xff <= 4, try read(.IDR0) & 0b11 == 0b11 else {
            throw Unexpected("this SMMU is not for us")
        }
        commandQueue = page()
        eventQueue = page()
        requestQueue = page()
        streams = page()
        try write(.CR0, 0)
        try write(.CR1, 0xd75)
        try write(.CR2, 0b110)
        try write(.STRTAB_BASE, streams | 1 << 62)
        try write(.STRTAB_BASE_CFG, UInt64(STRTAB_BASE_CFG.twoLevel(log2Size: 16, split: 8)))
        try write(.CMDQ_BASE, commandQueue | 1 << 62 | 7)
        try write(.CMDQ_PROD, 0)
        try write(.CMDQ_CONS, 0)
        try write(.CR0, UInt64(CR0.CMDQEN))
        try issue(.CFGI_ALL(), .TLBI_EL2_ALL(), .TLBI_NSNH_ALL(), .SYNC())
        for (base, prod, cons, queue) in [
            (Register.EVENTQ_BASE, Register.EVENTQ_PROD, Register.EVENTQ_CONS, eventQueue | 6),
            (.PRIQ_BASE, .PRIQ_PROD, .PRIQ_CONS, requestQueue | 7),
        ] {
            try write(base, queue | 1 << 62)
            try write(prod, 0)
            try write(cons, 0)
        }
        for (address, data, number) in [
            (Register.EVENTQ_IRQ_CFG0, Register.EVENTQ_IRQ_CFG1, UInt64(1)), (.PRIQ_IRQ_CFG0, .PRIQ_IRQ_CFG1, 2),
        ] {
            try write(address, ReferenceVMM.doorbell)
            try write(data, number)
        }
        try write(.IRQ_CTRL, 0b111)
        try write(.CR0, 0b1111)
        guard try read(.CR0ACK) == 0b1111 else { throw Unexpected("CR0ACK does not follow") }
    }

    // MARK: Memory

    func page(_ count: UInt64 = 1) -> UInt64 {
        free = (free + count * 0x1000 - 1) / (count * 0x1000) * (count * 0x1000)
        defer { free += count * 0x1000 }
        return free
    }

    subscript(address: UInt64) -> UInt64 {
        get { vmm.memory.word(Int(address - ReferenceVMM.base)) }
        set { vmm.memory.setWord(Int(address - ReferenceVMM.base), newValue) }
    }

    private func store(_ address: UInt64, _ words: [UInt64]) {
        for (index, word) in words.enumerated() { self[address + UInt64(index) * 8] = word }
    }

    private func read(_ register: Register) throws -> UInt64 {
        try vmm.read(UInt64(register.rawValue), size: register.width)
    }

    private func write(_ register: Register, _ value: UInt64) throws {
        try vmm.write(UInt64(register.rawValue), size: register.width, value)
    }

    // MARK: Commands

    /// Waits for their end, in batches of less than the queue.
    func issue(_ commands: Command...) throws { try issue(commands) }

    func issue(_ commands: [Command]) throws {
        for start in stride(from: 0, to: commands.count, by: 64) {
            for command in commands[start..<min(start + 64, commands.count)] {
                store(commandQueue + (producer & 0x7f) * 16, command.words)
                producer = (producer + 1) & 0xff
            }
            try write(.CMDQ_PROD, producer)
            guard try read(.CMDQ_CONS) == producer else { throw Unexpected("commands wait, or have failed") }
        }
    }

    // MARK: Streams and address spaces

    /// A stream with stage 1: context 0 for what comes without a PASID, others by PASID, up to 3.
    func attach(_ stream: UInt32, contexts: UInt64, ats: Bool = false) throws {
        var entry = StreamTableEntry()
        (entry.V, entry.Config, entry.S1ContextPtr) = (true, StreamConfiguration.stage1.rawValue, contexts)
        (entry.S1CDMax, entry.S1DSS, entry.EATS) = (2, 0b10, ats ? 1 : 0)
        let (index, inner) = (UInt64(stream) >> 8, UInt64(stream) & 0xff)
        let span = spans[index] ?? page(4)
        if spans[index] == nil {
            spans[index] = span
            self[streams + index * 8] = span | 9
        }
        // The words behind the first, then that: an entry is valid at once or not at all.
        store(span + inner * 64 + 8, Array(entry.words.dropFirst()))
        try issue(.CFGI_STE(streamID: stream), .SYNC())
        self[span + inner * 64] = entry.words[0]
        try issue(.CFGI_STE(streamID: stream), .SYNC())
    }

    /// An address space behind a context of a stream.
    func bind(_ stream: UInt32, contexts: UInt64, pasid: UInt32, asid: UInt16, stalls: Bool) throws {
        let root = roots[asid] ?? page()
        roots[asid] = root
        var context = ContextDescriptor()
        (context.V, context.AA64, context.A, context.R, context.EPD1) = (true, true, true, true, true)
        (context.S, context.T0SZ, context.IPS) = (stalls, 16, 4)
        (context.ASID, context.TTB0) = (UInt64(asid), root)
        store(contexts + UInt64(pasid) * 64, context.words)
        spacesOfStreams[UInt64(stream) << 32 | UInt64(pasid)] = asid
        try issue(.CFGI_CD(streamID: stream, substreamID: pasid), .SYNC())
    }

    func map(_ asid: UInt16, _ address: UInt64, _ frame: UInt64) {
        self[entry(asid, address)] = frame | 0xf43
    }

    /// Pages in a row are gone, and nobody may use them any more: by range, or one after the other.
    func unmap(_ asid: UInt16, _ addresses: [UInt64], ats stream: UInt32? = nil) throws {
        for address in addresses { self[entry(asid, address)] = 0 }
        var commands = addresses.map { Command.TLBI_NH_VA(address: $0, asid: asid) } + [.SYNC()]
        if let stream {
            commands += addresses.map { .ATC_INV(streamID: stream, substreamID: 1, address: $0, size: 0) } + [.SYNC()]
        }
        try issue(commands)
    }

    private func entry(_ asid: UInt16, _ address: UInt64) -> UInt64 {
        var table = roots[asid] ?? 0
        for level in 0..<3 as Range<UInt64> {
            let place = table + (address >> (39 - 9 * level) & 0x1ff) * 8
            if self[place] == 0 { self[place] = page() | 3 }
            table = self[place] & 0xf_ffff_f000
        }
        return table + (address >> 12 & 0x1ff) * 8
    }

    // MARK: Interrupts

    /// The handlers of what has been raised.
    func handleInterrupts() throws {
        let raised = Set(vmm.pendingInterrupts)
        vmm.pendingInterrupts = []
        if raised.contains(1) { try handleEvents() }
        if raised.contains(2) { try handleRequests() }
    }

    private func handleEvents() throws {
        while try read(.EVENTQ_PROD) != events {
            let place = eventQueue + (events & 0x3f) * 32
            let record = EventRecord(
                word0: self[place], word1: self[place + 8], word2: self[place + 16], word3: self[place + 24])
            events = (events + 1) & 0x7f
            try write(.EVENTQ_CONS, events)
            guard record.type?.isTranslationFault == true, record.Stall else {
                faults.append(record)
                continue
            }
            let isMapped = answer(record.StreamID, record.substream, record.InputAddr)
            try issue(
                .RESUME(
                    streamID: record.StreamID, stag: record.STAG, action: isMapped ? .retry : .terminate(abort: true)),
                .SYNC())
        }
    }

    private func handleRequests() throws {
        while try read(.PRIQ_PROD) != requests {
            let place = requestQueue + (requests & 0x7f) * 16
            let request = PageRequest(word0: self[place], word1: self[place + 8])
            requests = (requests + 1) & 0xff
            try write(.PRIQ_CONS, requests)
            let isMapped = answer(request.StreamID, request.substream, request.Address)
            guard request.Last else { continue }
            try issue(
                .PRI_RESP(
                    streamID: request.StreamID, substreamID: request.substream, prgIndex: request.PRGIndex,
                    response: isMapped ? .Success : .InvalidRequest), .SYNC())
        }
    }

    /// A page for a fault; false if there is none.
    private func answer(_ stream: UInt32, _ pasid: UInt32?, _ address: UInt64) -> Bool {
        guard let asid = spacesOfStreams[UInt64(stream) << 32 | UInt64(pasid ?? 0)],
            let frame = pager(asid, address & ~0xfff)
        else { return false }
        map(asid, address & ~0xfff, frame)
        return true
    }
}
