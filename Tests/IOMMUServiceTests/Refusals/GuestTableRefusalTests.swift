import Glibc
import TestSupport
import Testing

/// What accesses meet that go through tables of a guest's own.
@Suite struct GuestTableRefusalTests {
    /// A guest that sees its memory at 0x10000000, and at 0x20000000 a file that has been truncated since.
    private final class Guest {
        static let base: UInt64 = 0x1000_0000
        static let lost: UInt64 = 0x2000_0000
        /// Offsets in its memory.
        static let context = 0x1000
        static let tables = [0x2000, 0x3000, 0x4000, 0x5000]

        let client: PlayedClient
        private let bench: ServiceBench
        private let memory: SharedMemory

        init() throws {
            bench = try ServiceBench()
            client = try bench.connect()
            memory = try SharedMemory(size: 1 << 20)
            let file = try SharedMemory(size: 1 << 16)
            for object in [memory, file] { _ = try client.importMemory(object) }
            try #require(ftruncate(file.descriptor, 0) == 0)
            try bench.run(
                """
                device.bind {"name":"0000:04:00.0"}
                ioas.alloc {}
                ioas.map {"ioas":2,"memory":1,"length":1048576,"iova":"0x10000000"}
                ioas.map {"ioas":2,"memory":2,"length":65536,"iova":"0x20000000"}
                hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
                viommu.alloc {"device":1,"hwpt":3,"type":"arm_smmuv3"}
                vdevice.alloc {"viommu":4,"device":1,"virt_id":1}
                """, on: client)
            // ASID 9, 48 bits of input, 44 of output, R and A; four levels of tables down to one page.
            set(Self.context, 0x9 << 48 | 0xe204_c000_3510)
            set(Self.context + 8, Self.base + UInt64(Self.tables[0]))
            set(Self.context + 24, 0xf404_ff44)
            for level in 0..<3 { set(Self.tables[level], Self.base + UInt64(Self.tables[level + 1]) | 3) }
            setPage(Self.base + 0x10000)
        }

        func set(_ offset: Int, _ value: UInt64) { memory.setWord(offset, value) }

        /// Where the guest's address 0 leads.
        func setPage(_ output: UInt64, attributes: UInt64 = 0xf47) { set(Self.tables[3], output | attributes) }

        /// The guest's STE takes effect: V, stage 1, one CD.
        func attach(context: UInt64 = base + UInt64(context)) throws {
            try bench.run(
                """
                hwpt.alloc {"device":1,"pt":4,"data":{"type":"arm_smmuv3","ste":[\(context | 0xb),212]}}
                device.attach {"device":1,"pt":6}
                """, on: client)
        }

        func expect(_ reason: String) throws {
            try client.expect(EFAULT, reason, "dma.read", #"{"device":1,"iova":0,"length":8}"#)
            try client.expect(EFAULT, reason, "dma.write", #"{"device":1,"iova":0,"data":"AAAA"}"#)
        }
    }

    @Test func whatTheTablesSay() throws {
        let guest = try Guest()
        try guest.attach()
        _ = try guest.client.call("dma.read", #"{"device":1,"iova":0,"length":8}"#)
        let mistakes: [(String, (Guest) -> Void)] = [
            ("f_access", { $0.setPage(Guest.base + 0x10000, attributes: 0xb47) }),
            ("f_addr_size", { $0.setPage(1 << 46) }),
            ("f_walk_eabt", { $0.set(Guest.tables[2], Guest.lost | 3) }),
            ("no_memory_there", { $0.setPage(Guest.lost) }),
            (
                "fault_not_recorded",
                {
                    // R = 0
                    $0.set(Guest.context, 0x9 << 48 | 0xc204_c000_3510)
                    $0.setPage(0, attributes: 0)
                }
            ),
        ]
        for (reason, make) in mistakes {
            let guest = try Guest()
            make(guest)
            try guest.attach()
            try guest.expect(reason)
        }
    }

    @Test func aContextThatCannotBeRead() throws {
        let guest = try Guest()
        try guest.attach(context: Guest.lost)
        try guest.expect("f_cd_fetch")
    }
}
