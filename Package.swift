// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
]

// No unsafe flags: with them no other package could depend on this one. What makes a release fast is in the Makefile.

let package = Package(
    name: "iommud",
    products: [
        .executable(name: "iommuctl", targets: ["iommuctl"]),
        .executable(name: "iommud", targets: ["iommud"]),
        .library(name: "SMMUv3", targets: ["SMMUv3"]),
        .library(name: "Systemd", targets: ["Systemd"]),
    ],
    dependencies: [
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // MARK: C

        .target(
            name: "CLinux",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]
        ),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),

        // MARK: Leaves

        .target(name: "SMMUv3", swiftSettings: strict),
        .testTarget(name: "SMMUv3Tests", dependencies: ["SMMUv3", "TestSupport"], swiftSettings: strict),

        // MARK: Ground floor

        .target(
            name: "LinuxIO",
            dependencies: [
                "CLinux",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: strict
        ),
        .testTarget(name: "LinuxIOTests", dependencies: ["CLinux", "LinuxIO", "TestSupport"], swiftSettings: strict),

        .target(name: "IOMMU", dependencies: ["LinuxIO"], swiftSettings: strict),

        // What outlives the daemon: the journal, and who stands before a context to write in it.
        .target(name: "Durability", dependencies: ["CLinux", "IOMMU", "LinuxIO"], swiftSettings: strict),

        .target(
            name: "JSONRPC",
            dependencies: ["CLinux", "LinuxIO", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "JSONRPCTests",
            dependencies: ["CLinux", "JSONRPC", "LinuxIO", "TestSupport"],
            swiftSettings: strict
        ),

        .target(
            name: "Systemd",
            dependencies: ["CSystemd", "LinuxIO", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        .testTarget(name: "SystemdTests", dependencies: ["LinuxIO", "Systemd"], swiftSettings: strict),

        // MARK: Backends

        // What every backend needs: memory objects, ids, quotas, and iommufd's object model over a driver.
        .target(
            name: "IOMMUObjects",
            dependencies: ["CLinux", "IOMMU", "LinuxIO", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: strict
        ),
        .testTarget(
            name: "IOMMUObjectsTests",
            dependencies: ["CLinux", "IOMMU", "IOMMUObjects", "LinuxIO", "TestSupport"],
            swiftSettings: strict
        ),

        // What the model of the SMMUv3 says, in the facts of IOMMU.
        .target(name: "SMMUFacts", dependencies: ["IOMMU", "SMMUv3"], swiftSettings: strict),

        // SMMUv3 models that clients program: beside any backend.
        .target(
            name: "BareSMMU",
            dependencies: [
                "CLinux", "IOMMU", "IOMMUObjects", "LinuxIO", "SMMUFacts", "SMMUv3",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "BareSMMUTests",
            dependencies: ["BareSMMU", "CLinux", "IOMMU", "IOMMUObjects", "LinuxIO", "SMMUv3", "TestSupport"],
            swiftSettings: strict
        ),

        // The machine, its devices and the SMMUv3 driver.
        .target(
            name: "EmulatedIOMMU",
            dependencies: [
                "CLinux", "IOMMU", "IOMMUObjects", "LinuxIO", "SMMUFacts", "SMMUv3",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "EmulatedIOMMUTests",
            dependencies: ["EmulatedIOMMU", "IOMMU", "IOMMUObjects", "LinuxIO", "SMMUv3", "TestSupport"],
            swiftSettings: strict
        ),

        // What the running kernel does itself: iommufd and vfio.
        .target(
            name: "KernelIOMMU",
            dependencies: [
                "CLinux", "IOMMU", "IOMMUObjects", "LinuxIO",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "KernelIOMMUTests",
            dependencies: [
                "CLinux", "IOMMU", "IOMMUObjects", "KernelIOMMU", "KernelTestSupport", "LinuxIO", "TestSupport",
            ],
            swiftSettings: strict
        ),

        // MARK: Service

        // The parser is C++; whoever reads a configuration sees plain values.
        .target(
            name: "ConfigurationTOML",
            dependencies: [.product(name: "TOMLKit", package: "TOMLKit")],
            swiftSettings: strict
        ),
        .target(
            name: "IOMMUService",
            dependencies: [
                "CLinux", "ConfigurationTOML", "Durability", "IOMMU", "JSONRPC", "LinuxIO", "Systemd",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "IOMMUServiceTests",
            dependencies: [
                "BareSMMU", "CLinux", "Durability", "EmulatedIOMMU", "IOMMU", "IOMMUService", "JSONRPC", "KernelIOMMU",
                "KernelTestSupport", "LinuxIO", "ServiceTestSupport", "Systemd", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),

        // What a program needs to be started with descriptors of its own.
        .target(name: "Launch", dependencies: ["CLinux", "LinuxIO"], swiftSettings: strict),
        .testTarget(name: "LaunchTests", dependencies: ["Launch"], swiftSettings: strict),

        // Programs that find emulated devices.
        .target(name: "ProgramRun", dependencies: ["CLinux", "JSONRPC", "LinuxIO"], swiftSettings: strict),

        // MARK: Executables

        .executableTarget(
            name: "iommud",
            dependencies: [
                "BareSMMU", "EmulatedIOMMU", "IOMMU", "IOMMUService", "KernelIOMMU",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "iommuctl",
            dependencies: [
                "CLinux", "JSONRPC", "Launch", "LinuxIO", "ProgramRun", "SMMUv3",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .testTarget(
            name: "DaemonTests",
            dependencies: [
                "CLinux", "JSONRPC", "LinuxIO", "SMMUv3", "ServiceTestSupport", "TestSupport", "iommuctl", "iommud",
            ],
            swiftSettings: strict
        ),

        // MARK: For tests

        // A second implementation of the kernel's side.
        .target(
            name: "KernelTestSupport",
            dependencies: ["CLinux", "IOMMU", "KernelIOMMU", "LinuxIO"],
            path: "Tests/KernelTestSupport",
            swiftSettings: strict
        ),
        .target(
            name: "ServiceTestSupport",
            dependencies: ["CLinux", "IOMMUService", "JSONRPC", "LinuxIO"],
            path: "Tests/ServiceTestSupport",
            swiftSettings: strict
        ),
        .target(
            name: "TestSupport", dependencies: ["CLinux", "IOMMU", "JSONRPC", "LinuxIO"], path: "Tests/TestSupport",
            swiftSettings: strict
        ),

        // The service over that kernel, for programs that are started with what it hands out.
        .executableTarget(
            name: "iommud-fake-kernel",
            dependencies: ["IOMMU", "IOMMUService", "KernelIOMMU", "KernelTestSupport"],
            path: "Tests/FakeKernelDaemon",
            swiftSettings: strict
        ),

        // The service over the mock devices of a real kernel, and who plays the scenarios with it.
        .executableTarget(
            name: "iommud-kernel-lab",
            dependencies: [
                "BareSMMU", "CLinux", "IOMMU", "IOMMUService", "JSONRPC", "KernelIOMMU", "LinuxIO",
                "ServiceTestSupport",
            ],
            path: "Tests/KernelLab",
            exclude: ["uml.config"],
            swiftSettings: strict
        ),

        // MARK: Benchmarks

        .target(name: "CBenchReference", path: "Tests/Bench/CReference"),
        .executableTarget(
            name: "iommud-bench",
            dependencies: ["CBenchReference", "CLinux", "EmulatedIOMMU", "IOMMU", "IOMMUObjects", "LinuxIO", "SMMUv3"],
            path: "Tests/Bench/Runner",
            swiftSettings: strict
        ),
    ],
    cLanguageStandard: .gnu11
)
