import JSONRPC

/// A client that programs an SMMUv3 itself, as a VMM would: its vsmmu 1, with memory object 1 as guest memory.
package struct BareSMMUProgram<Client: MethodCaller> {
    /// Where its memory lies for the SMMU.
    package static var gpa: UInt64 { 0x8000_0000 }

    /// ``BareSMMUOffset``
    package typealias Offset = BareSMMUOffset

    package let client: Client
    package let memory: SharedMemory

    /// An SMMU out of reset.
    package init(_ client: Client) throws {
        self.client = client
        memory = try SharedMemory(size: 1 << 20)
        _ = try client.importMemory(memory)
        guard try client.id("vsmmu.create", "{}", "vsmmu") == 1 else { throw Unexpected("another has id 1") }
        try client.call("vsmmu.memory", #"{"vsmmu":1,"memory":1,"length":1048576,"gpa":\#(Self.gpa)}"#)
    }

    /// The SMMU with id 1, out of reset, and memory object 1, which the client has.
    package init(_ client: Client, _ memory: SharedMemory) throws {
        (self.client, self.memory) = (client, memory)
        try client.call("vsmmu.memory", #"{"vsmmu":1,"memory":1,"length":1048576,"gpa":\#(Self.gpa)}"#)
    }

    /// Stores to a register.
    package func write(_ offset: UInt64, _ value: UInt64, size: Int = 4) throws {
        try client.call("vsmmu.mmio_write", #"{"vsmmu":1,"offset":\#(offset),"size":\#(size),"value":\#(value)}"#)
    }

    /// Loads from a register.
    package func read(_ offset: UInt64, size: Int = 4) throws -> UInt64 {
        let reply = try client.call("vsmmu.mmio_read", #"{"vsmmu":1,"offset":\#(offset),"size":\#(size)}"#)
        guard let value = reply["value"]?.unsignedValue else { throw Unexpected(reply.text) }
        return value
    }

    /// STRTAB_BASE, EVENTQ_BASE and CMDQ_BASE, interrupts and everything of CR0.
    package func bringUp() throws {
        try write(0x80, Self.gpa + UInt64(Offset.streams), size: 8)
        try write(0x88, 4)
        try write(0xa0, Self.gpa + UInt64(Offset.events) | 3, size: 8)
        try write(0x90, Self.gpa + UInt64(Offset.commands) | 3, size: 8)
        try write(0x50, 7)
        try write(0x20, 0xd)
        guard try read(0x24) == 0xd else { throw Unexpected("CR0ACK does not follow") }
    }

    /// The request that puts commands into the queue behind `consumed` others: CMDQ_PROD is written.
    package func queue(_ commands: [(UInt64, UInt64)], behind consumed: Int = 0) -> (method: String, params: String) {
        for (index, words) in commands.enumerated() {
            let entry = Offset.commands + 16 * ((consumed + index) % 8)
            memory.setWord(entry, words.0)
            memory.setWord(entry + 8, words.1)
        }
        let producer = (consumed + commands.count) % 16
        return ("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x98","size":4,"value":\#(producer)}"#)
    }

    /// Stream 1 stalls at faults, of stage 1 tables that are all zero; the event queue is disabled.
    package func bringUpStalling() throws {
        try bringUp()
        try write(0x20, 0x9)
        memory.setWord(Offset.streams + 64, 0xb | (Self.gpa + UInt64(Offset.context)))
        let flags: UInt64 = 1 << 41 | 1 << 44 | 1 << 46
        memory.setWord(Offset.context, 25 | 1 << 30 | 1 << 31 | 4 << 32 | flags)
        memory.setWord(Offset.context + 8, Self.gpa + UInt64(Offset.tables))
    }
}

/// Where things lie in the memory of a ``BareSMMUProgram``, of 1 MiB.
package enum BareSMMUOffset {
    /// A linear stream table of 16.
    package static let streams = 0
    /// Of 8 records.
    package static let events = 0x10000
    /// Of 8 commands.
    package static let commands = 0x20000
    package static let context = 0x30000
    /// Tables of stage 1, all zero: of level 1.
    package static let tables = 0x31000
}
