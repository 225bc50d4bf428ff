import Glibc
import IOMMU
import Testing

@testable import IOMMUService

struct UserMetricsTests {
    private func value(_ name: String, _ labels: [String], in figures: [Metric]) -> UInt64? {
        figures.first { $0.name == name && $0.labels.map(\.value) == labels }?.value
    }

    @Test func whatAUserHoldsStandsBesideWhatOneMay() throws {
        let bench = try ServiceBench()
        let client = try bench.connect()
        let memory = try client.id("memory.create", #"{"size":8192}"#, "memory")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":8192}"#)
        let figures = bench.service.metrics.read()
        let uid = figures.first { $0.name == "quota_used" }?.labels.last?.value ?? ""
        #expect(value("quota_used", ["mapped_bytes", uid], in: figures) == 8192)
        #expect(value("quota_used", ["memory_bytes", uid], in: figures) == 8192)
        #expect(value("quota_used", ["mappings", uid], in: figures) == 1)
        #expect(value("quota_limit", ["mappings"], in: figures) == 8_388_608)
        #expect(value("build_info", [DaemonVersion.text, "emulated"], in: figures) == 1)
    }

    @Test func usersThatHoldLittleAreToldTogether() throws {
        let accounts = try (1...60).map { (uid: UInt32) in
            let account = Account(uid: uid)
            try account.charge(UInt64(uid), of: .mappedBytes)
            return account
        }
        let figures = UserMetrics.read(accounts.shuffled(), limits: [:])
        #expect(figures.count == 51)
        #expect(value("quota_used", ["mapped_bytes", "60"], in: figures) == 60)
        #expect(value("quota_used", ["mapped_bytes", "10"], in: figures) == nil)
        #expect(value("quota_used", ["mapped_bytes", "others"], in: figures) == 55)
    }

    @Test func faultsAreCountedByDeviceAndType() throws {
        let bench = try ServiceBench()
        let client = try bench.connect()
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        for _ in 0..<2 {
            try client.expect(
                EFAULT, "f_translation", "dma.read", #"{"device":\#(device),"iova":4096,"length":1}"#)
        }
        let figures = bench.service.metrics.read()
        #expect(value("faults_total", ["0000:01:00.0", "F_TRANSLATION"], in: figures) == 2)
    }

    @Test func moreFaultsThanCanBeToldApartAreOne() {
        var counters = FaultCounters()
        for number in 0..<1200 {
            counters.count(
                BackendEvent(.fault(PageFaultEvent(fault: 1, device: 1, name: "d\(number)", address: 0, pasid: nil))))
        }
        let figures = counters.read()
        #expect(figures.count == 1001)
        #expect(value("faults_total", ["others", "others"], in: figures) == 200)
    }
}
