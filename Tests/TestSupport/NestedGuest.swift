import JSONRPC

/// A guest with an SMMU of its own: it builds tables in its memory, and only its commands make changes visible.
package struct NestedGuest<Client: MethodCaller> {
    /// Where the guest's memory begins, for itself and for the host's IOAS.
    package static var base: UInt64 { 0x1000_0000 }
    private static var size: Int { 1 << 20 }
    /// What the guest calls the stream of its device.
    package static var virtualStreamID: UInt64 { 0x55 }

    /// ``NestedGuestLayout``
    package typealias Layout = NestedGuestLayout

    package let client: Client
    package let memory: SharedMemory
    // Ids of the session.
    package let ioas: Int
    package let device: Int
    package let parent: Int
    package let viommu: Int
    package let vdevice: Int
    package let events: Int

    /// Everything but the guest's own tables.
    package init(_ client: Client) throws {
        self.client = client
        memory = try SharedMemory(size: Self.size)
        let object = try client.importMemory(memory)
        ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call(
            "ioas.map", #"{"ioas":\#(ioas),"memory":\#(object),"length":\#(Self.size),"iova":\#(Self.base)}"#)
        device = try client.bind("0000:01:00.0")
        parent = try client.id(
            "hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"flags":["nest_parent"]}"#, "hwpt")
        viommu = try client.id(
            "viommu.alloc", #"{"device":\#(device),"hwpt":\#(parent),"type":"arm_smmuv3"}"#, "viommu")
        vdevice = try client.id(
            "vdevice.alloc", #"{"viommu":\#(viommu),"device":\#(device),"virt_id":\#(Self.virtualStreamID)}"#, "vdevice"
        )
        events = try client.id(
            "veventq.alloc", #"{"viommu":\#(viommu),"type":"arm_smmuv3","depth":3}"#, "veventq")
    }

    /// Stores a word at an offset in guest memory.
    package func set(_ offset: UInt64, _ value: UInt64) { memory.setWord(Int(offset), value) }

    /// Maps guest virtual page 0 to one of the two pages.
    package func setPage(_ page: Int) { set(Layout.tables[3], Self.base + Layout.pages[page] | 0xf47) }

    /// A CD with ASID 9, a 48-bit TTB0 and four levels of tables.
    package func buildTables() {
        set(Layout.context, 0x9 << 48 | 0xe204_c000_3510)
        set(Layout.context + 8, Self.base + Layout.tables[0])
        set(Layout.context + 24, 0xf404_ff44)
        for level in 0..<3 { set(Layout.tables[level], Self.base + Layout.tables[level + 1] | 3) }
        setPage(0)
        for (index, page) in Layout.pages.enumerated() { set(page, UInt64(0x1111 * (index + 1))) }
    }

    /// Word 0 of a guest STE that translates through the tables.
    package var translating: UInt64 { 0xb | (Self.base + Layout.context) }

    /// The hwpt of that STE.
    package func nested() throws -> Int {
        try client.id(
            "hwpt.alloc",
            #"{"device":\#(device),"pt":\#(viommu),"data":{"type":"arm_smmuv3","ste":[\#(translating),212]}}"#, "hwpt")
    }

    /// Builds the tables and attaches the device to them.
    package func attach() throws {
        buildTables()
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(try nested())}"#)
    }

    /// The little-endian word that the device reads.
    package func readWord(_ iova: UInt64 = 0) throws -> UInt64 {
        let reply = try client.call("dma.read", #"{"device":\#(device),"iova":\#(iova),"length":8}"#)
        guard let bytes = reply["data"]?.stringValue?.bytesOfBase64 else { throw Unexpected(reply.text) }
        return bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    }
}

/// Where things lie in the memory of a ``NestedGuest``.
package enum NestedGuestLayout {
    package static let context: UInt64 = 0x1000
    /// Tables of level 0 to 3, each the first entry of the one before.
    package static let tables: [UInt64] = [0x2000, 0x3000, 0x4000, 0x5000]
    /// The first word of each is 0x1111, 0x2222.
    package static let pages: [UInt64] = [0x10000, 0x20000]
}
