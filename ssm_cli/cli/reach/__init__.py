"""Reaching trees and being reached: clients of running trees, and the doors of our own."""
