import ArgumentParser

@main
struct Iommud: ParsableCommand {
    mutating func run() throws {}
}
